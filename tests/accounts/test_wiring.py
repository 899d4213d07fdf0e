"""The studio as the composition root builds it: one server of counters for the queue and for the door."""

from __future__ import annotations

import pytest

from modules.accounts.counters.opening import open_counters
from modules.app import build_studio
from modules.bootstrap.options import Options, PathOptions
from modules.contracts.counters import Limit
from modules.contracts.errors import OverLimit
from modules.contracts.request import GenerationRequest, PromptParams

PASSWORD = "correct horse"


@pytest.fixture
def build(tmp_path):
    """A function that builds studios over one data folder, each after the one before was closed."""
    opened = []

    def build_(**paths):
        while opened:
            opened.pop().close()
        options = Options(paths=PathOptions(tmp_path / "data", tmp_path / "models", **paths))
        opened.append(build_studio(options, start_engine=False))
        return opened[-1]

    yield build_
    opened.pop().close()


def test_pictures_and_wrong_passwords_are_counted_where_the_command_line_says(build, redis_server):
    studio = build(counters_url=redis_server.address)
    studio.accounts.add_user("ada", PASSWORD, role="admin")
    studio.accounts.add_user("bob", PASSWORD)
    studio.queue.submit(GenerationRequest(PromptParams("red")), "bob")
    for number in range(9):
        assert studio.door.check("ada", f"guess {number}", "10.0.0.1") is None
    assert studio.accounts.left_this_minute("bob") == 59

    beside = open_counters(redis_server.address)
    assert beside.look("pictures:bob", 0, Limit(60, 60)).used == 1
    beside.close()

    again = build(counters_url=redis_server.address)  # a restart forgets nothing
    assert again.accounts.left_this_minute("bob") == 59
    assert again.door.check("ada", "the tenth guess", "10.0.0.1") is None
    with pytest.raises(OverLimit):
        again.door.check("ada", PASSWORD, "10.0.0.1")

    alone = build()  # in memory, where nothing has been counted yet
    assert alone.accounts.left_this_minute("bob") == 60
    assert alone.door.check("ada", PASSWORD, "10.0.0.1").name == "ada"
    assert [record.owner for record in alone.queue.list()] == ["bob"]
