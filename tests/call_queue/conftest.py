"""A queue over a database in a temporary folder, with a fake engine."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from modules.call_queue.database import open_database, open_server
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.support.bus import EventBus
from tests.call_queue.fakes import FakeEngine, MemoryPictures


@pytest.fixture
def sqlite_database(tmp_path):
    engine = open_database(tmp_path / "studio.sqlite3")
    yield engine
    engine.dispose()


@pytest.fixture
def server_database(postgres_url):
    engine = open_server(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """An empty database, of both kinds in turn."""
    return request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "server_database")


@pytest.fixture
def second(database):
    """The same database through an engine of its own, as another process has it."""
    if database.dialect.name == "sqlite":
        engine = open_database(Path(database.url.database))
    else:
        engine = open_server(database.url.set(drivername="postgresql").render_as_string(hide_password=False))
    yield engine
    engine.dispose()


@pytest.fixture
def store(database):
    return JobStore(database)


@pytest.fixture
def bus():
    return EventBus()


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def pictures():
    return MemoryPictures()


@pytest.fixture
def make_queue(engine, store, bus, pictures):
    """A function that builds queues over the one database; all are stopped at the end."""

    def end(queue):
        queue.stop(5)
        for lane in queue._threads:
            lane.join(5)

    with contextlib.ExitStack() as stack:

        def make(lanes=1, provider=None):
            queue = CallQueue(provider or (lambda: engine), store, bus, pictures, lanes=lanes)
            stack.callback(end, queue)
            return queue

        yield make
        engine.let_go()


@pytest.fixture
def queue(make_queue):
    made = make_queue()
    made.start()
    return made
