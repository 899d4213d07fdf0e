"""What users have set for themselves, in the database, so that it is there after a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Engine, bindparam, delete, insert, select

from modules.accounts.people import row_of
from modules.accounts.tables import PREFERENCES, USERS
from modules.contracts.errors import InvalidRequest

LONGEST = 4000
"""Characters of a value, as JSON: a setting is a word or a number, and nobody keeps a book in one."""


class StoredPreferences:
    """One row for each setting of a user, so that two changes at a time lose nothing. They go with the account."""

    def __init__(self, engine: Engine) -> None:
        """The tables exist already."""
        self._engine = engine

    def of(self, owner: str) -> dict[str, Any]:
        """By key; nothing for an admin and for an owner without account."""
        with self._engine.connect() as connection:
            return {row.key: json.loads(row.value) for row in connection.execute(_asking(), {"of": owner})}

    def change(self, owner: str, changes: Mapping[str, Any]) -> None:
        """Keep those values, all or none; None takes one back.

        Raises `InvalidRequest` for an unknown user and for a value that is too long.
        """
        written = {key: json.dumps(value) for key, value in changes.items() if value is not None}
        for key, text in written.items():
            if len(text) > LONGEST:
                raise InvalidRequest(f"{key} has {len(text)} characters; at most {LONGEST} are kept for a user.")
        with self._engine.begin() as connection:
            user = row_of(connection, owner)
            connection.execute(
                delete(PREFERENCES).where(PREFERENCES.c.user_id == user.id, PREFERENCES.c.key.in_(list(changes)))
            )
            for key, text in written.items():
                connection.execute(insert(PREFERENCES).values(user_id=user.id, key=key, value=text))


@cache
def _asking() -> Any:
    """Built once: that takes longer than running it, and every request asks."""
    query = select(PREFERENCES.c.key, PREFERENCES.c.value).join_from(PREFERENCES, USERS)
    return query.where(USERS.c.name == bindparam("of"), USERS.c.role != "admin")
