"""`verify` in the terminal over a stand-in for the studio: what it says, how it ends, and whose request it reads."""

from __future__ import annotations

import json
import logging
import sys
import types

import pytest

from modules.call_queue.database import open_database
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.cli import dispatch
from modules.cli.verify import DIFFERS
from modules.contracts.request import CanvasParams, GenerationRequest, ImageParams, PromptParams, SeedParams
from modules.outputs.store import DiskPictureStore
from modules.support.bus import EventBus
from modules.support.options import CORE_SETTINGS
from modules.support.paths import Paths
from modules.support.settings import Settings
from tests.accounts.test_limits import RECIPE
from tests.api.fakes import picture
from tests.call_queue.fakes import FakeEngine

SMALL = CanvasParams(width=64, height=64)
GIVEN = picture() + bytes(300_000)
"""A picture of more bytes than an ended job's row holds."""


class Place:
    """The data folder of a studio, and the studio that `verify` builds over it: jobs of its own, the same gallery."""

    def __init__(self, folder):
        self.paths = Paths(folder, folder)
        self.engine, self.settings = FakeEngine(), Settings(CORE_SETTINGS)
        self.engine.recipe = RECIPE
        self.closed = 0
        self.database, self.private = open_database(self.paths.database), open_database(folder / "private.sqlite3")
        self.pictures = DiskPictureStore(self.database, folder / "outputs", self.settings)
        self.queue = self.line_up(self.private)

    def line_up(self, database):
        queue = CallQueue(lambda: self.engine, JobStore(database), EventBus(), self.pictures)
        queue.start()
        return queue

    def draw(self, **groups):
        """The id of a picture that the server has drawn, which is not running any more."""
        server = self.line_up(self.database)
        request = GenerationRequest(
            **{"prompt": PromptParams("a cat"), "canvas": SMALL, "seeds": SeedParams(7), **groups}
        )
        job = server.submit(request, "ann")
        job.wait(10)
        server.stop(5)
        return self.pictures.list(job_id=job.id)[0].id

    def close(self):
        self.closed += 1
        self.queue.stop(5)
        self.private.dispose()


@pytest.fixture
def place(tmp_path, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    made = Place(tmp_path)
    stand_in = types.SimpleNamespace(build_studio=lambda options, *, private: made)
    monkeypatch.setitem(sys.modules, "modules.app", stand_in)
    yield made
    made.close()
    made.database.dispose()


def verify(*words):
    return dispatch.main(["verify", *words])


def test_the_same_picture(place, capsys):
    assert verify(place.draw()) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == ["alone: at most 0 of 255, 0.0000 in the mean", "in company: at most 0 of 255, 0.0000 in the mean",
                    "the same"]  # fmt: skip
    assert place.closed == 1


def test_another_picture_and_what_has_changed_since(place, capsys):
    place.engine.recipe = {**RECIPE, "seed": 9, "device": "cuda"}
    place.draw()
    place.engine.recipe = {**RECIPE, "seed": 9, "device": "cpu"}
    assert verify("last", "--company", "0") == DIFFERS
    told = capsys.readouterr().out
    assert "alone: at most 2 of 255" in told
    assert "changed since: device was cuda, is cpu" in told
    assert told.endswith("not the same\n")


def test_as_json(place, capsys):
    key = place.draw()
    assert verify(key, "--json", "--company", "1") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["picture_id"], told["same"], told["alone"], told["changes"]) == (
        key, True, {"largest": 0, "mean": 0.0}, []
    )  # fmt: skip


def test_pictures_that_came_with_a_job_of_the_server_are_found(place, capsys):
    place.engine.recipe = {**RECIPE, "mode": "img2img", "parameters": {"image.denoising_strength": 0.5}}
    key = place.draw(image=ImageParams((GIVEN,), denoising_strength=0.5))
    assert verify(key, "--company", "0") == 0
    assert place.engine.seen[-1].image.images == (GIVEN,)
    assert capsys.readouterr().out.endswith("the same\n")


def test_a_picture_that_is_not_there(place, capsys):
    assert verify("nothing") not in (0, DIFFERS)
    assert "There is no picture 'nothing'." in capsys.readouterr().err
