"""Accounts over a fresh database, with a clock that the test moves."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from modules.accounts.counters.memory import MemoryCounters
from modules.accounts.service import StoredAccounts
from modules.call_queue.database import open_server
from tests.accounts.fronts import MeteredRig


class Clock:
    """Seconds since 1970; noon of 10 March 2026 at first."""

    def __init__(self) -> None:
        self.now = 1_773_144_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(request, tmp_path):
    """An empty database: a SQLite file, or a PostgreSQL server where a test asks for "postgresql"."""
    if getattr(request, "param", "sqlite") == "postgresql":
        engine = open_server(request.getfixturevalue("postgres_url"))
        yield engine
        engine.dispose()
        return
    engine = create_engine(f"sqlite:///{tmp_path / 'studio.sqlite3'}", connect_args={"check_same_thread": False})
    yield engine
    engine.dispose()


@pytest.fixture
def accounts(database, clock):
    return StoredAccounts(database, clock, MemoryCounters(clock))


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A studio with accounts that the tests of a file share; see `rig`."""
    made = MeteredRig(tmp_path_factory.mktemp("studio"))
    yield made
    made.close()


@pytest.fixture
def rig(studio):
    """The shared studio as at first, but for jobs and ledger."""
    studio.renew()
    return studio
