"""The engine room: who waits is answered, whatever the start does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modules.bootstrap.options import Options, PathOptions
from modules.contracts.errors import BrokenModel, DeviceUnavailable, NotReady
from modules.engine_room import EngineRoom
from modules.shelves import open_shelves
from modules.support.options import CORE_SETTINGS
from modules.support.paths import Paths
from modules.support.settings import Settings
from modules.support.studio import Status
from tests.factories.headers import LDM_CLIP, LDM_VAE, ldm_unet, write_weightless


class FakeEngine:
    def __init__(self, problem: Exception | None = None):
        self.problem, self.closed = problem, False

    def warm_up(self):
        if self.problem:
            raise self.problem

    def unload(self):
        self.unloaded = True

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


def test_what_hindered_the_engine_is_told_without_places():
    def fail():
        raise RuntimeError("libfast.so is not in /home/anna/studio/lib")

    status = Status()
    room = EngineRoom(status)
    room.build(fail)
    with pytest.raises(NotReady, match=r"RuntimeError: libfast.so is not in lib\.$"):
        room.get()
    assert "anna" not in status.message


def test_choosing_the_model_that_the_settings_held_displaces_the_one_of_the_start(tmp_path):
    folder = tmp_path / "models" / "checkpoints"
    for name in ("held", "given"):
        write_weightless(folder / f"{name}.safetensors", ldm_unet(768) | LDM_VAE | LDM_CLIP)
    paths = Paths(tmp_path / "data", tmp_path / "models").ensure()
    Settings(CORE_SETTINGS, paths.data).update({"sd_model_checkpoint": "held"})
    options = Options(paths=PathOptions(paths.data, paths.models, checkpoint="given.safetensors"))
    settings = Settings(CORE_SETTINGS, paths.data)
    catalog = open_shelves(options, paths, settings).catalog
    try:
        assert catalog.find_model(None).name == "given"
        settings.update({"jpeg_quality": 70})
        assert catalog.find_model(None).name == "given"
        settings.update({"sd_model_checkpoint": "held"})
        assert catalog.find_model(None).name == "held"
    finally:
        catalog.close()


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


def test_models_are_unloaded_and_loaded_again_through_the_room():
    room, engine = EngineRoom(Status()), FakeEngine()
    room.unload()
    room.build(lambda: (None, engine))
    room.unload()
    assert engine.unloaded
    engine.problem = BrokenModel("model.safetensors is cut short.")
    with pytest.raises(BrokenModel):
        room.reload()


def test_an_engine_that_needs_no_model_loads_none():
    status = Status()
    room, engine = EngineRoom(status), FakeEngine()
    engine.problem = BrokenModel("model.safetensors is cut short.")
    room.build(lambda: (None, engine), warm=False)
    assert room.get() is engine
    assert (status.phase, status.message) == ("ready", "Ready")


def test_closing_waits_for_a_model_that_is_being_loaded():
    begun, go_on, ended = threading.Event(), threading.Event(), []

    class Slow(FakeEngine):
        def warm_up(self):
            begun.set()
            go_on.wait(10)
            ended.append("loaded")

        def close(self):
            ended.append("closed")

    room, engine = EngineRoom(Status()), Slow()
    with ThreadPoolExecutor(2) as crowd:
        crowd.submit(room.build, lambda: (None, engine))
        assert begun.wait(10)
        closing = crowd.submit(room.close)
        assert not ended
        go_on.set()
        closing.result(10)
    assert ended == ["loaded", "closed"]


@pytest.mark.parametrize("settle", [0.0, 20.0])
def test_a_process_of_its_own_waits_longer_for_libraries_than_a_server_may(settle):
    begun, go_on = threading.Event(), threading.Event()
    room, engine = EngineRoom(Status(), settle), FakeEngine()

    def assemble():
        begun.set()
        go_on.wait(20)
        return None, engine

    with ThreadPoolExecutor(2) as crowd:
        building = crowd.submit(room.build, assemble)
        assert begun.wait(10)
        closing = crowd.submit(room.close)
        if settle:
            with pytest.raises(TimeoutError):
                closing.result(0.3)
        else:
            closing.result(10)
        assert not building.done()
        go_on.set()
        closing.result(10)
    assert engine.closed
