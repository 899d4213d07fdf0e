"""The engine room: who waits is answered, whatever the start does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from modules.app import EngineRoom
from modules.contracts.errors import BrokenModel, DeviceUnavailable, NotReady
from modules.support.studio import Status


class FakeEngine:
    def __init__(self, problem: Exception | None = None):
        self.problem, self.closed = problem, False

    def warm_up(self):
        if self.problem:
            raise self.problem

    def close(self):
        self.closed = True


def test_a_default_model_that_fails_leaves_the_engine_in_service():
    for problem in (BrokenModel("model.safetensors is cut short."), MemoryError("no room")):
        status = Status()
        room, engine = EngineRoom(status), FakeEngine(problem)
        room.build(lambda made=engine: (None, made))
        assert room.get() is engine
        assert status.ready
        assert "default model" in status.message


@pytest.mark.parametrize(
    ("problem", "kind"), [(DeviceUnavailable("No such device."), DeviceUnavailable), (ImportError("libx"), NotReady)]
)
def test_whoever_waits_is_told_what_hindered_the_engine(problem, kind):
    def fail():
        raise problem

    status = Status()
    room = EngineRoom(status)
    with ThreadPoolExecutor(1) as crowd:
        waiting = crowd.submit(room.get)
        room.build(fail)
        assert type(waiting.exception(10)) is kind
    assert status.phase == "failed"
    assert not status.ready


def test_an_engine_that_comes_after_the_end_is_closed_and_nobody_waits():
    room, engine = EngineRoom(Status()), FakeEngine()
    room.close()
    with pytest.raises(NotReady, match="closing"):
        room.get()
    room.build(lambda: (None, engine))
    assert engine.closed


def test_closing_the_room_closes_the_engine():
    room, engine = EngineRoom(Status()), FakeEngine()
    room.build(lambda: (None, engine))
    room.close()
    assert engine.closed
