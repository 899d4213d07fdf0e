"""Whose jobs are running: which processes use a database, and which of them have died.

Neither kind of lock needs a clock or a heartbeat: the kernel, or the database server, takes it from a dead process.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from modules.contracts.errors import DeviceUnavailable


class Tenancy(Protocol):
    """A process's claim to run the jobs of a database."""

    shared: bool
    """Other processes may run jobs of the same database beside this one."""
    worker: str
    """The name under which this process runs jobs."""

    def take(self) -> None:
        """Make the claim known. Taking it twice changes nothing. Raises `DeviceUnavailable` when it cannot be had."""

    def leave(self) -> None:
        """Give the claim back; without it nothing happens."""

    def renew(self) -> None:
        """Take the claim again if the database let go of it."""

    def died(self, worker: str | None, connection: Connection) -> bool:
        """Whether the process of that name, which left jobs running, is gone."""


def tenancy_of(engine: Engine) -> Tenancy:
    """The kind of claim that fits the database."""
    return FileTenancy(engine) if engine.dialect.name == "sqlite" else ServerTenancy(engine)


class FileTenancy:
    """One process at a time runs the jobs of a SQLite file; otherwise each would take the other's for a crash's.

    The lock is an exclusive transaction on an empty SQLite file beside the database, which works on every system.
    """

    shared = False

    def __init__(self, engine: Engine) -> None:
        self._database = engine.url.database
        self._connection: sqlite3.Connection | None = None
        self.worker = secrets.token_hex(8)

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

    def renew(self) -> None:
        """A file's lock is not lost while the process lives."""

    def died(self, worker: str | None, connection: Connection) -> bool:
        """Every process but this one is gone: this one has the lock."""
        return worker != self.worker


class ServerTenancy:
    """Several processes run the jobs of one PostgreSQL database.

    Each holds an advisory lock under a number of its own, in a session of its own. Whoever can take that lock knows
    that its holder is gone.
    """

    shared = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._number = secrets.randbits(62)
        self._session: Connection | None = None
        self.worker = str(self._number)

    def take(self) -> None:
        """Take the lock under this process's own number. Raises `DeviceUnavailable` when the server does not answer."""
        if self._session is not None:
            return
        try:
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            session.execute(text("SELECT pg_advisory_lock(:number)"), {"number": self._number})
        except OperationalError as error:
            raise DeviceUnavailable(f"The database server does not answer: {_first_line(error)}.") from error
        self._session = session

    def leave(self) -> None:
        """Give the lock back and end the session.

        The server would drop the lock with the session, but a moment later, when somebody may have asked already.
        """
        session, self._session = self._session, None
        if session is None:
            return
        with contextlib.suppress(SQLAlchemyError):  # a broken session holds nothing
            session.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": self._number})
        session.detach()
        session.close()

    def renew(self) -> None:
        """Ask the server for a sign of life on the session that holds the lock; make a new one where it is broken."""
        session = self._session
        if session is None:
            return
        try:
            session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self._session = None
            session.invalidate()
            session.close()
            self.take()

    def died(self, worker: str | None, connection: Connection) -> bool:
        """Whether nobody holds that worker's lock; a name that is no number belongs to a file and to nobody here."""
        if worker == self.worker:
            return False
        if worker is None or not worker.isdigit():
            return True
        asked = text("SELECT pg_try_advisory_xact_lock(:number)")
        return bool(connection.execute(asked, {"number": int(worker)}).scalar_one())


def _first_line(error: OperationalError) -> str:
    return str(error.orig).strip().splitlines()[0].rstrip(".")
