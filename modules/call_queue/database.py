"""The database of an installation, opened for several threads: one SQLite file, or a PostgreSQL server."""

from __future__ import annotations

import importlib.util
import tempfile
import weakref
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from modules.call_queue.tables import VERSION
from modules.contracts.errors import DeviceUnavailable, InvalidRequest
from modules.support.migration import migrate

BUSY_SECONDS = 30.0
"""How long a writer waits for another one; a write takes milliseconds, so this is only reached when a disk hangs."""

POOL = 16
"""Connections that are kept open; as many again may be opened for a moment. Lanes and threads of the API are fewer."""

ENTRANCE_LOCK = 0x41_54_45_4D
"""An advisory lock of PostgreSQL; see `lock_entrance`. The number before it guards migrations."""

DRIVER = "postgresql+psycopg"
SCRIPTS = Path(__file__).with_name("migrations")


def open_database(path: Path) -> Engine:
    """An engine over the SQLite file `path`, which is made with its folder when missing.

    Write-ahead log, so that readers never wait for a writer; `synchronous=NORMAL`, so that a commit survives the death
    of the process (a power cut may take the last commits with it, but never the file); foreign keys are enforced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(f"sqlite:///{path}", connect_args=arguments, pool_size=POOL, max_overflow=POOL)
    event.listen(engine, "connect", _prepare)
    return engine


def open_server(address: str) -> Engine:
    """An engine over a PostgreSQL database, given as `postgresql://USER@HOST:PORT/NAME`.

    What the address leaves out, the password for one, is looked up where every PostgreSQL client looks (a `.pgpass`
    file, a service file). Connections are tried before use, so a restart of the server costs no job. Raises
    `InvalidRequest` for another kind of address and `DeviceUnavailable` when the driver is not installed. Nothing is
    connected yet.
    """
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise InvalidRequest("The database's address is not of the form postgresql://USER@HOST:PORT/NAME.") from error
    if url.drivername not in ("postgresql", "postgres", DRIVER):
        raise InvalidRequest(f"The database's address begins with {url.drivername}://; postgresql:// is known.")
    if importlib.util.find_spec("psycopg") is None:
        raise DeviceUnavailable("PostgreSQL needs the extra 'postgres'; start once with --extra postgres.")
    return create_engine(url.set(drivername=DRIVER), pool_pre_ping=True, pool_size=POOL, max_overflow=POOL)


def open_private() -> Engine:
    """A database of this process alone, for jobs that nobody could take up after it: it goes when the engine goes.

    A command of the terminal uses it, so that it neither runs jobs that a server has left nor stands in its way.
    """
    folder = tempfile.TemporaryDirectory(prefix="atelier-jobs-", ignore_cleanup_errors=True)
    engine = open_database(Path(folder.name) / "jobs.sqlite3")
    weakref.finalize(engine, folder.cleanup)
    return engine


def prepare_tables(engine: Engine) -> None:
    """Bring the tables of the queue to the version that this code works with. See `modules.support.migration`."""
    migrate(engine, "jobs", SCRIPTS, head=VERSION, first_table="jobs")


def insert_or_leave(connection: Connection, table: Table) -> Insert:
    """An insert that does nothing where a row of that key is there already; both databases have it, spelt alike."""
    return insert_of(connection.dialect.name, table).on_conflict_do_nothing()


def insert_of(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that can be told what to do where a row of that key is there already; see `insert_or_leave`."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def lock_for_writing(connection: Connection) -> None:
    """On SQLite take the one write lock now, before anything is read, so that what is read stays true until the commit.

    On PostgreSQL rows are locked one by one where they are read, and this does nothing.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def lock_entrance(connection: Connection) -> None:
    """Let no other process measure what waits and add to it until the commit.

    To be taken before any row is locked, so that whoever waits for it holds nothing. On SQLite the write lock, which
    `lock_for_writing` has taken, is as good.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ENTRANCE_LOCK})")


def _prepare(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
