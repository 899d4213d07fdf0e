"""The one SQLite file of an installation, opened for several threads, and the lock that says whose it is."""

from __future__ import annotations

import sqlite3
import tempfile
import weakref
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event

from modules.contracts.errors import DeviceUnavailable

BUSY_SECONDS = 30.0
"""How long a writer waits for another one; a write takes milliseconds, so this is only reached when a disk hangs."""


def open_database(path: Path) -> Engine:
    """An engine over the file `path`, which is made with its folder when missing.

    Write-ahead log, so that readers never wait for a writer; `synchronous=NORMAL`, so that a commit survives the death
    of the process (a power cut may take the last commits with it, but never the file); foreign keys are enforced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _prepare)
    return engine


def open_private() -> Engine:
    """A database of this process alone, for jobs that nobody could take up after it: it goes when the engine goes.

    A command of the terminal uses it, so that it neither runs jobs that a server has left nor stands in its way.
    """
    folder = tempfile.TemporaryDirectory(prefix="atelier-jobs-", ignore_cleanup_errors=True)
    engine = open_database(Path(folder.name) / "jobs.sqlite3")
    weakref.finalize(engine, folder.cleanup)
    return engine


def _prepare(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class Tenancy:
    """One process at a time runs the jobs of a database; otherwise each would take the other's for a crash's leavings.

    The lock is an exclusive transaction on an empty SQLite file beside the database: it works on every system, and the
    kernel takes it away from a process that dies.
    """

    def __init__(self, engine: Engine) -> None:
        self._database = engine.url.database
        self._connection: sqlite3.Connection | None = None

    def take(self) -> None:
        """Take the lock; raises `DeviceUnavailable` when another process has it. Taking it twice changes nothing."""
        if self._connection is not None or self._database in (None, "", ":memory:"):
            return
        connection = sqlite3.connect(
            f"{self._database}.lanes", timeout=1.0, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            raise DeviceUnavailable(
                "Another process runs the jobs of this data folder; stop it, or give this one a --data-dir of its own."
            ) from error
        self._connection = connection

    def leave(self) -> None:
        """Give the lock back; without it nothing happens."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
