"""Faces of finished pictures restored by jobs: found, drawn by a network, put back, and nothing else touched."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import BrokenModel, InvalidRequest, UnsupportedFeature
from modules.contracts.request import GenerationRequest
from modules.contracts.run import RunContext
from modules.upscalers.face_network import FaceNetwork
from tests.factories.onnx import write_yolo
from tests.factories.restorers import write_restoreformer
from tests.factories.upscalers import write_compact
from tests.processing_diffusers.conftest import encode, make_engine, pixels, speckled

FACE = (128, 128, 256, 256)
"""A red square, which the detector takes for a face, in a picture of 512 pixels."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    models = tmp_path_factory.mktemp("faces")
    (models / "checkpoints").mkdir()
    write_yolo(models / "detectors" / "face_red.onnx")
    write_compact(models / "upscalers" / "plain-x2.safetensors", 2)
    write_restoreformer(models / "face_restorers" / "green.safetensors", (0.0, 1.0, 0.0))
    (models / "GFPGAN").mkdir()
    (models / "GFPGAN" / "torn.safetensors").write_bytes(b"nonsense")
    bench = make_engine(tmp_path_factory.mktemp("faces-engine"), models)
    bench.models = models
    yield bench
    bench.engine.close()


@pytest.fixture
def quick(monkeypatch):
    """In place of the network: every face becomes green at once. Gives what came in."""
    seen = []

    def forward(self, tensor, weight=0.5):
        seen.append((tensor.clone(), weight))
        made = tensor.clone()
        made[:, 0], made[:, 1], made[:, 2] = 0.0, 1.0, 0.0
        return made

    monkeypatch.setattr(FaceNetwork, "forward", forward)
    return seen


@pytest.fixture
def fresh(workshop):
    workshop.engine.faces.empty()
    yield workshop
    workshop.engine.faces.empty()


def scene():
    """A grey picture with a red square and faint grain, so that equal means untouched."""
    grain = np.asarray(speckled(512, 512)).astype(int) // 8
    image = Image.fromarray((100 + grain).astype(np.uint8))
    image.paste((255, 0, 0), FACE)
    return image


def ask(*images, **changes):
    wish = {"upscaler": "Nearest", "scale": 1.0, "restorer": "green", **changes}
    return GenerationRequest(enlarge=EnlargeParams(tuple(encode(image) for image in images), **wish))


def away(array, scale=1):
    """What lies beyond the reach of the aligned face: 512 / 345 of the box's height, round its middle."""
    shown = np.ones(array.shape[:2], bool)
    shown[86 * scale : 282 * scale, 94 * scale : 290 * scale] = False
    return array[shown]


def test_a_network_from_a_file_draws_the_face_and_nothing_else(fresh):
    source = scene()
    (picture,) = fresh.draw(ask(source)).pictures
    made, given = pixels(picture), np.asarray(source)
    assert tuple(made[192, 192]) == (0, 255, 0)
    assert np.array_equal(away(made), away(given))
    path = fresh.models / "face_restorers" / "green.safetensors"
    assert picture.recipe["faces"]["restorer"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture.recipe["faces"]["detector"]["name"] == "face_red"
    assert picture.recipe["parameters"]["enlarge.restorer"] == "green"
    assert "Postprocess face restorer: green, Postprocess face restorer visibility: 1" in picture.infotext
    assert "Postprocess face restorer hash: " in picture.infotext


def test_visibility_mixes_and_zero_is_none(fresh, quick):
    source = scene()
    made = {
        share: pixels(fresh.draw(ask(source, restorer_share=share)).pictures[0]).astype(int)
        for share in (0.0, 0.25, 1.0)
    }
    assert np.array_equal(made[0.0], np.asarray(source))
    assert abs(made[0.25] - (made[0.0] + 0.25 * (made[1.0] - made[0.0]))).max() <= 1
    assert len(quick) == 2


@pytest.mark.parametrize(("first", "seen"), [(False, 512), (True, 1024)])
def test_before_or_after_enlarging(fresh, quick, monkeypatch, first, seen):
    from modules.processing_diffusers import face_part

    sizes = []
    plain = face_part.put_back

    def watched(picture, *rest):
        sizes.append(picture.shape[0])
        return plain(picture, *rest)

    monkeypatch.setattr(face_part, "put_back", watched)
    asked = ask(scene(), upscaler="plain-x2", scale=2.0, upscale_first=first, restorer_weight=0.25)
    (picture,) = fresh.draw(asked).pictures
    assert sizes == [seen]
    made = pixels(picture)
    assert tuple(made[384, 384]) == (0, 255, 0)
    alone = pixels(fresh.draw(replace(asked, enlarge=replace(asked.enlarge, restorer="None"))).pictures[0])
    assert np.array_equal(away(made, 2), away(alone, 2))
    assert quick[0][1] == 0.25
    assert tuple(quick[0][0].shape) == (1, 3, 512, 512)


def test_what_is_transparent_stays_so_and_the_rest_is_repeatable(fresh, quick):
    source = scene().convert("RGBA")
    source.putalpha(Image.linear_gradient("L").resize(source.size))
    first, again = (pixels(fresh.draw(ask(source)).pictures[0]) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(first[..., 3], np.asarray(source)[..., 3])
    assert tuple(first[192, 192][:3]) == (0, 255, 0)


def test_a_picture_without_faces_stays(fresh, quick):
    source = speckled(96, 64)
    source = Image.fromarray(np.asarray(source) // 4)
    assert np.array_equal(pixels(fresh.draw(ask(source)).pictures[0]), np.asarray(source))
    assert quick == []


def test_cancelling_stops_before_the_next_face(fresh, quick, monkeypatch):
    source = scene()
    source.paste((255, 0, 0), (384, 384, 512, 512))
    context = RunContext("job", fresh.events.append)
    plain = FaceNetwork.forward

    def forward(self, tensor, weight=0.5):
        context.cancelled.set()
        return plain(self, tensor, weight)

    monkeypatch.setattr(FaceNetwork, "forward", forward)
    result = fresh.draw(ask(source), context=context)
    assert (len(quick), result.interrupted, result.pictures) == (1, True, ())


def test_what_is_missing_is_said(fresh, tmp_path):
    for changes, kind, words in (
        ({"restorer": "GFPGAN"}, InvalidRequest, "known are green. Put GFPGANv1.4.safetensors into .* models/GFPGAN"),
        ({"restorer": "torn"}, BrokenModel, "torn.safetensors"),
        ({"restorer_share": 1.5}, InvalidRequest, "allowed is 0 to 1"),
    ):
        with pytest.raises(kind, match=words):
            fresh.draw(ask(scene(), **changes))
    other = tmp_path / "models"
    (other / "checkpoints").mkdir(parents=True)
    write_restoreformer(other / "GFPGAN" / "green.safetensors")
    bench = make_engine(tmp_path / "engine", other)
    try:
        with pytest.raises(UnsupportedFeature, match="face_detection_yunet_2023mar.onnx .* models/detectors"):
            bench.draw(ask(scene()))
    finally:
        bench.engine.close()
