"""Settings of one's own: what somebody who is no admin has changed by `/options`, for their own calls alone.

The old API knows one set of options for everybody, and its clients set the model there before they draw. Here a change
by an admin is everybody's, and anybody else's is theirs: neighbours do not notice. They last until the studio stops.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from modules.contracts.accounts import Caller
from modules.contracts.errors import NotAllowed
from modules.support.settings import Settings

MOST_PEOPLE = 4096


class Preferences:
    """Changes by owner. Safe from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._changes: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def of(self, owner: str) -> Mapping[str, Any]:
        """What that owner has changed; nothing for admins, whose changes are everybody's."""
        with self._lock:
            return dict(self._changes.get(owner, {}))

    def public(self, owner: str) -> dict[str, Any]:
        """All settings but secrets, as they are for that owner."""
        return {**self._settings.public(), **self.of(owner)}

    def change(self, caller: Caller, changes: Mapping[str, Any]) -> None:
        """Change settings for everybody when the caller is an admin, else for the caller; unknown ones are ignored.

        Raises `InvalidRequest` for a value that cannot be, and `NotAllowed` when somebody else changes one that is an
        admin's; what is sent back as it was read is no change. All or none.
        """
        if caller.is_admin:
            self._settings.update(changes, unknown="ignore")
            with self._lock:
                self._changes.pop(caller.name, None)
            return
        declared = {item.key: item for item in self._settings.declared() if item.scope != "secret"}
        before = self.public(caller.name)
        wanted = {key: declared[key].coerce(value) for key, value in changes.items() if key in declared}
        fresh = {key: value for key, value in wanted.items() if value != before[key]}
        for key in fresh:
            if declared[key].scope == "admin":
                raise NotAllowed(f"Only an admin may change {key}.")
        with self._lock:
            self._changes[caller.name] = {**self._changes.get(caller.name, {}), **fresh}
            while len(self._changes) > MOST_PEOPLE:
                self._changes.popitem(last=False)
