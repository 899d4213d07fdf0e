"""Brings the tables of one room to the shape that its code expects, whatever version of the program made them.

Rooms share a database and know nothing of each other, so each has its own folder of scripts and its own version table.
A database from before there were versions holds the tables of the first script already; it is marked as standing there.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.contracts.errors import StudioError

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection, Engine

log = logging.getLogger(__name__)
ADVISORY_LOCK = 0x41_54_45_4C
"""Held by the one process that changes tables of a PostgreSQL database; the others wait for it."""

_ALONE = threading.Lock()
"""Alembic hands the scripts their connection through a module, so one thread at a time may run them."""


def version_table(room: str) -> str:
    """The name of the table that says how far the tables of `room` have come."""
    return f"{room}_version"


def migrate(engine: Engine, room: str, scripts: Path, *, head: str, first_table: str) -> None:
    """Run the scripts of `room` that this database has not seen, in one transaction and under a lock.

    `head` is the newest version; a database that stands there costs one look. `first_table` is the table by which a
    database from before the first version is known. Either all scripts take effect or none. Raises `StudioError` when a
    newer version of the program has been here.
    """
    if _stands_at(engine, room) == head:
        return  # without alembic, whose import takes longer than all the rest
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(scripts.parent), version_locations=[str(scripts)])
    if script.get_current_head() != head:
        raise ValueError(f"{room}: the newest script is {script.get_current_head()} and the code works with {head}")
    with _ALONE, engine.begin() as connection:
        _lock(connection)
        _upgrade(connection, script, room, first_table)


def _stands_at(engine: Engine, room: str) -> str | None:
    """The version of the tables of `room`; None for a database that never had one."""
    from sqlalchemy import inspect

    with engine.connect() as connection:
        if not inspect(connection).has_table(version_table(room)):
            return None
        version = connection.exec_driver_sql(f"SELECT version_num FROM {version_table(room)}").scalar()
    return None if version is None else str(version)


def _lock(connection: Connection) -> None:
    """Let no other process change tables until the transaction ends. Must come before anything is read."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")


def _upgrade(connection: Connection, script: ScriptDirectory, room: str, first_table: str) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from sqlalchemy import inspect

    def pending(revision: Any, context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), script, fn=pending) as environment:
        environment.configure(connection=connection, version_table=version_table(room))
        context = environment.get_context()
        before = context.get_current_heads()
        _check(script, room, before)
        if not before and inspect(connection).has_table(first_table):
            context.stamp(script, script.get_base() or "base")
        environment.run_migrations()
        after = context.get_current_heads()
    if before != after:
        log.info("the tables of %s went from version %s to %s", room, ", ".join(before) or "none", ", ".join(after))


def _check(script: ScriptDirectory, room: str, heads: tuple[str, ...]) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    strange = sorted(set(heads) - known)
    if strange:
        raise StudioError(
            f"The tables of {room} are of version {', '.join(strange)}, which this program does not know; a newer one "
            f"has used this database. Start that one, or give this one a database of its own."
        )
