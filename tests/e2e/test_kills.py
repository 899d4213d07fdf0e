"""kill -9 at ten random moments under load: no job lost or ended twice, the ledger balanced, no picture half written.

The engine makes noise, so that ten lives fit into a test; `bench crash` does the same with the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
import sys

import psutil
import pytest

from modules.bench.crash import Load, books, enlist, figures, settle, trouble
from modules.bench.process import ServerProcess
from tests.e2e.server import ROOT, free_port

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the server's lives are forked, which this system cannot"),
]
KILLS = 10


class LightServer(ServerProcess):
    """The forking server; what serves is its child."""

    def __init__(self, data):
        port = free_port()
        self.url, self.log = f"http://127.0.0.1:{port}", data.with_suffix(".log")
        command = [sys.executable, "-m", "tests.e2e.light_server", str(port), str(data)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def worker(self):
        with contextlib.suppress(psutil.NoSuchProcess):
            return next(iter(psutil.Process(self.process.pid).children()), None)
        return None


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_the_books_hold_after_ten_kills(data):
    tokens = enlist(data)
    server = LightServer(data)
    try:
        server.wait_ready(60)
        load = Load(server.url, tokens, interval=0.15, steps=20)
        lives = asyncio.run(trouble(server, load, KILLS, random.Random(7), longest=1.2))
        settle(server, data)
    finally:
        status = server.stop()
    found = figures(data)
    assert len(lives) == KILLS
    assert books(data, load.acknowledged) == []
    assert status == 0, server.log.read_text("utf-8", "replace")[-2000:]
    assert found["runs_that_died"] >= 3, f"the kills hit nothing: {found}"
    assert found["jobs"]["done"] >= 10, found


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The data folder of a server that drew two jobs and ended well, and who asked for them."""
    folder = tmp_path_factory.mktemp("books") / "data"
    folder.mkdir()
    tokens = enlist(folder)
    server = LightServer(folder)
    try:
        server.wait_ready(60)
        load = Load(server.url, tokens, interval=0.1, steps=4)

        async def ask():
            asking = asyncio.create_task(load.live())
            while len(load.acknowledged) < 4:
                await asyncio.sleep(0.05)
            load.stopping = True
            await asking

        asyncio.run(ask())
        settle(server, folder)
    finally:
        server.stop()
    return folder, dict(load.acknowledged)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ("DELETE FROM jobs WHERE number = 1", "is lost"),
        ("UPDATE jobs SET state = 'running' WHERE number = 1", "is running"),
        ("UPDATE jobs SET state = 'failed' WHERE number = 1", "not set aside"),
        ("UPDATE jobs SET pictures = pictures + 1 WHERE number = 1", "the gallery has"),
        ("DELETE FROM ledger WHERE kind = 'refund'", "never settled"),
        ("UPDATE ledger SET credits = 1 WHERE kind = 'refund'", "back, not"),
        ("DELETE FROM pictures WHERE number = 1", "belongs to no picture"),
        ("UPDATE pictures SET infotext = 'other' WHERE number = 1", "does not carry its infotext"),
        ("cut", "half written"),
        ("leave", "belongs to no picture"),
        ("take", "is missing"),
    ],
)
def test_the_books_tell_what_is_wrong(sound, tmp_path, damage, word):
    import shutil

    folder, acknowledged = sound
    copy = tmp_path / "data"
    shutil.copytree(folder, copy)
    assert books(copy, acknowledged) == []
    picture = sorted((copy / "outputs").rglob("*.png"))[0]
    if damage == "cut":
        picture.write_bytes(picture.read_bytes()[:-40])
    elif damage == "leave":
        picture.with_name(f".{picture.name}.abc.part").write_bytes(b"half")
    elif damage == "take":
        picture.unlink()
    else:
        with contextlib.closing(sqlite3.connect(copy / "atelier.sqlite3")) as connection:
            for guard in ("ledger_unchanged", "ledger_undeleted"):  # the database would not let it happen
                connection.execute(f"DROP TRIGGER {guard}")
            assert connection.execute(damage).rowcount
            connection.commit()
    wrong = books(copy, acknowledged)
    assert wrong
    assert any(word in sentence for sentence in wrong), wrong
