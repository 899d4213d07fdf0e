"""The API's studio of fakes with the queue that asks the gate, as the real studio has it."""

from __future__ import annotations

import dataclasses

from modules.accounts.door import Door
from modules.accounts.metering import MeteredQueue
from modules.accounts.service import StoredAccounts
from tests.api.fakes import PASSWORD, Rig


class MeteredRig(Rig):
    """A studio whose jobs are let in by their owners' tiers: ada is an admin, ann and bob are users, guy is a guest."""

    def __init__(self, folder, *, counters=None, **changes):
        super().__init__(folder, lanes=1, **changes)
        self._app = None
        if counters is not None:
            self.accounts = StoredAccounts(self.database, counters=counters)
        queue = MeteredQueue(self.queue, self.accounts.gate, self.catalog, self.bus)
        door = Door(self.accounts, counters=counters)
        self.studio = dataclasses.replace(self.studio, queue=queue, accounts=self.accounts, door=door)
        self.queue = queue
        if not self.accounts.open:
            return  # opened again over what there was
        for name, role in (("ada", "admin"), ("ann", "user"), ("bob", "user"), ("guy", "guest")):
            self.accounts.add_user(name, PASSWORD, role=role)

    def application(self):
        """Built once: that takes longer than most of what is asked of it."""
        if self._app is None:
            self._app = super().application()
        return self._app

    def clients(self, *names):
        """A client for each name, with a token that is its own."""
        return [self.client(headers=self.key_of(name)) for name in names]

    def key_of(self, name):
        return {"authorization": f"Bearer {self.accounts.add_token(name, 'test')[1]}"}
