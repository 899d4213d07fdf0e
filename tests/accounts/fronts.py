"""The API's studio of fakes with the queue that asks the gate, as the real studio has it."""

from __future__ import annotations

import dataclasses

from modules.accounts.counters.memory import MemoryCounters
from modules.accounts.door import Door
from modules.accounts.metering import MeteredQueue
from modules.accounts.service import StoredAccounts
from modules.accounts.tiers import AT_FIRST
from tests.api.fakes import PASSWORD, Rig

PEOPLE = (("ada", "admin"), ("ann", "user"), ("bob", "user"), ("guy", "guest"))


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
        self.queue = self.experiments._queue = queue
        if self.accounts.open:  # else it is opened again over what there was
            for name, role in PEOPLE:
                self.accounts.add_user(name, PASSWORD, role=role)

    def renew(self):
        """Accounts, tiers, settings and guesses as at first, for tests that share a studio; jobs and ledger stay."""
        self.finish()
        self.studio.door._counters = MemoryCounters()
        for name, role in PEOPLE[1:]:
            self.accounts.remove_user(name)
            self.accounts.add_user(name, PASSWORD, role=role, inherit=True)
        for tier in AT_FIRST:
            self.accounts.set_tier(tier)
        self.settings.update({item.key: None for item in self.settings.declared() if item.scope != "secret"})

    def finish(self):
        """Ends all jobs, and returns when they are settled."""
        self.engine.let_go()
        for state in ("running", "queued"):
            for record in self.queue.list(state=state):
                self.queue.cancel(record.id)
                self.queue.handle(record.id).wait(10)

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
