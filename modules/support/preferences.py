"""Settings of one's own: what somebody who is no admin has changed, for whatever is drawn for them.

The old API knows one set of options for everybody, and its clients set the model there before they draw. Here a change
by an admin is everybody's, and anybody else's is theirs: neighbours do not notice. The accounts' database keeps them.

A front fills what a request leaves open from `defaults`; what no parameter carries goes with the job (`carried`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from modules.contracts.accounts import Accounts, Caller
from modules.contracts.errors import InvalidRequest, NotAllowed
from modules.contracts.request import parameters
from modules.support.settings import Setting, Settings

log = logging.getLogger(__name__)
OF_THE_PAGE = frozenset({"localization"})
"""Settings that say how things are shown and change nothing that is drawn."""
NAMED = frozenset({"model"})
"""Groups whose common setting is not asked here: the command line may have named another, and the engine knows."""


class Preferences:
    """Changes by owner. Safe from several threads. Asks the database, so it may block for a moment."""

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self._settings = settings
        self._accounts = accounts

    def of(self, owner: str) -> dict[str, Any]:
        """What that owner has changed; nothing for admins, whose changes are everybody's.

        What an older version has kept and this one does not take any more counts as not changed.
        """
        declared, kept = self._declared(), {}
        for key, value in self._accounts.preferences(owner).items():
            setting = declared.get(key)
            if setting is None or setting.scope != "user":
                continue
            try:
                kept[key] = setting.coerce(value)
            except InvalidRequest as error:
                log.warning("a setting that %s has kept is not used: %s", owner, error.message)
        return kept

    def public(self, owner: str) -> dict[str, Any]:
        """All settings but secrets, as they are for that owner."""
        return {**self._settings.public(), **self.of(owner)}

    def defaults(self, owner: str) -> dict[str, dict[str, Any]]:
        """What that owner's requests mean where they say nothing: by group and field, for every parameter with a
        setting. An empty word is not one."""
        mine, found = self.of(owner), dict[str, dict[str, Any]]()
        values = {**self._settings.public(), **mine}
        for item in parameters():
            key = item.param.override
            if key is None or values.get(key) in (None, "") or (item.path[0] in NAMED and key not in mine):
                continue
            found.setdefault(item.path[0], {})[item.path[1]] = values[key]
        return found

    def carried(self, owner: str) -> dict[str, Any]:
        """What that owner has changed and no parameter of a request says: it goes along with each of their jobs."""
        said = OF_THE_PAGE.union(item.param.override for item in parameters())
        return {key: value for key, value in self.of(owner).items() if key not in said}

    def change(self, caller: Caller, changes: Mapping[str, Any]) -> None:
        """Change settings for everybody when the caller is an admin, else for the caller; unknown ones are ignored.

        None takes a change of one's own back; for an admin it is the default. Raises `InvalidRequest` for a value that
        cannot be, and `NotAllowed` when a guest changes anything or somebody else what is an admin's; what is sent back
        as it was read is no change. All or none.
        """
        if caller.is_admin:
            self._settings.update(changes, unknown="ignore")
            return
        declared, mine, before = self._declared(), self.of(caller.name), self.public(caller.name)
        fresh: dict[str, Any] = {}
        for key, value in changes.items():
            if key not in declared:
                continue
            if value is None and declared[key].scope == "user":
                fresh |= {key: None} if key in mine else {}
                continue
            wanted = declared[key].coerce(value)
            fresh |= {key: wanted} if wanted != before[key] else {}
        for key in fresh:
            if declared[key].scope == "admin":
                raise NotAllowed(f"Only an admin may change {key}.")
        if fresh and caller.is_guest:
            raise NotAllowed("A guest has no settings; send what a picture needs along with the request.")
        if fresh:
            self._accounts.set_preferences(caller.name, fresh)

    def _declared(self) -> dict[str, Setting]:
        return {item.key: item for item in self._settings.declared() if item.scope != "secret"}
