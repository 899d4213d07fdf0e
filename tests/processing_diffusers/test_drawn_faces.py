"""Faces of pictures that are drawn: found in what the model drew, restored, and nothing else touched."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.infotext import parse, to_request
from modules.contracts.request import FaceParams, GenerationRequest, SamplingParams
from modules.contracts.run import RunContext
from modules.outputs.replay import request_of
from modules.upscalers.face_network import FaceNetwork
from tests.factories.onnx import write_yolo
from tests.factories.pocket import make_pocket_engine
from tests.factories.restorers import write_restoreformer
from tests.processing_diffusers.conftest import ask

GREEN = (0, 255, 0)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """The model that ships, a detector that takes red things for faces, and a restorer that makes them green."""
    folder = tmp_path_factory.mktemp("drawn-faces")
    write_yolo(folder / "models" / "detectors" / "face_red.onnx")
    made = write_restoreformer(folder / "models" / "face_restorers" / "green.safetensors", (0.0, 1.0, 0.0))
    engine = make_pocket_engine(folder)
    engine.restorer_file = made
    yield engine
    engine.close()


@pytest.fixture
def quick(monkeypatch, studio):
    """In place of the network: every face becomes green at once. Gives the weights it was called with."""
    seen = []
    studio.faces.empty()  # what is loaded keeps the network's own

    def forward(self, tensor, weight=0.5):
        seen.append(weight)
        made = tensor.clone()
        made[:, 0], made[:, 1], made[:, 2] = 0.0, 1.0, 0.0
        return made

    monkeypatch.setattr(FaceNetwork, "forward", forward)
    yield seen
    studio.faces.empty()


def wish(faces, text="a large red circle on a white background", **groups):
    return ask(text, size=128, seed=1, sampling=SamplingParams(6, "Euler", cfg_scale=4.0), faces=faces, **groups)


def draw(studio, request, context=None):
    return studio.generate(request, context or RunContext("job", lambda event: None))


def middle(picture):
    return tuple(int(value) for value in np.asarray(picture.image)[64, 64])


def test_what_was_drawn_gets_another_face_and_the_rest_stays(studio, quick):
    plain = draw(studio, wish(FaceParams())).pictures[0]
    found = draw(studio, wish(FaceParams(True))).pictures[0]
    red, green, blue = middle(plain)
    assert red > 180 > 100 > max(green, blue)
    assert middle(found) == GREEN
    before, after = np.asarray(plain.image, int), np.asarray(found.image, int)
    changed = np.abs(before - after).max(axis=2) > 0
    assert 0.1 < changed.mean() < 0.9
    assert not changed[:4].any()
    assert not changed[-4:].any()
    said = parse(found.infotext)
    assert (said["Face restoration"], "Face restoration" in plain.infotext) == ("green", False)
    digest = hashlib.sha256(studio.restorer_file.read_bytes()).hexdigest()
    assert found.recipe["faces"]["restorer"] == {"name": "green", "sha256": digest}
    assert found.recipe["faces"]["detector"]["name"] == "face_red"
    assert request_of(found, None).faces == FaceParams(True, "green", 1.0, 0.5)
    assert request_of(plain, None).faces == FaceParams()
    again, unknown = to_request(said, GenerationRequest())
    assert unknown == ()
    assert again.faces == FaceParams(True, "green", 1.0, 0.5)
    assert to_request(parse(plain.infotext), wish(FaceParams(True)))[0].faces == FaceParams()


def test_visibility_and_weight(studio, quick):
    made = [
        middle(draw(studio, wish(FaceParams(True, share=share, weight=0.25))).pictures[0]) for share in (0.1, 0.5, 1.0)
    ]
    reds, greens, _ = zip(*made, strict=True)
    assert reds[0] > reds[1] > reds[2] == 0
    assert greens[0] < greens[1] < greens[2] == 255
    assert set(quick) == {0.25}
    for nothing in (FaceParams(True, share=0.0), FaceParams(True, "None"), FaceParams(False, "green")):
        assert studio.resolve(wish(nothing)).faces is None


def test_cancelling_stops_before_the_next_face(studio, quick, monkeypatch):
    context = RunContext("job", lambda event: None)
    plain = FaceNetwork.forward

    def forward(self, tensor, weight=0.5):
        context.cancelled.set()
        return plain(self, tensor, weight)

    monkeypatch.setattr(FaceNetwork, "forward", forward)
    result = draw(studio, wish(FaceParams(True), canvas=ask(size=128, batch=2).canvas), context)
    assert (len(quick), result.interrupted, result.pictures) == (1, True, ())


def test_without_a_restorer_habit_is_noted_and_a_name_refused(bench, studio):
    plan = bench.engine.resolve(ask(faces=FaceParams(True)))
    assert plan.faces is None
    assert any("GFPGANv1.4.safetensors" in note for note in plan.notes)
    with pytest.raises(InvalidRequest, match="known are green"):
        studio.resolve(wish(FaceParams(True, "CodeFormer")))
    with pytest.raises(InvalidRequest):
        studio.resolve(wish(FaceParams(True, share=1.5)))
