"""Finished pictures made larger: sizes, cuts, what a network gains, how two upscalers mix, and where it stops."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import BrokenModel, InvalidRequest, OutOfMemory, UnsupportedFeature
from modules.contracts.events import ImageReady, StageStarted, StepDone
from modules.contracts.request import GenerationRequest, HiresParams
from modules.contracts.run import RunContext
from modules.support.paths import ROOT
from tests.factories.upscalers import write_compact
from tests.processing_diffusers.conftest import encode, make_engine, pixels, speckled


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """An engine without a checkpoint: two small networks, a broken one, and those that ship."""
    models = tmp_path_factory.mktemp("enlarging")
    (models / "checkpoints").mkdir()
    write_compact(models / "upscalers" / "plain-x2.safetensors", 2)
    write_compact(models / "upscalers" / "redder-x2.safetensors", 2, (0.25, 0.0, 0.0))
    (models / "upscalers" / "cut.safetensors").write_bytes(b"nonsense")
    bench = make_engine(tmp_path_factory.mktemp("enlarging-engine"), models)
    yield bench
    bench.engine.close()


def ask(*images, **changes):
    data = tuple(image if isinstance(image, bytes) else encode(image) for image in images)
    return GenerationRequest(enlarge=EnlargeParams(data, **changes))


def made(workshop, *images, **changes):
    workshop.events.clear()
    return workshop.draw(ask(*images, **changes)).pictures


def distance(first, second):
    """Peak signal-to-noise ratio in decibels."""
    error = ((pixels(first).astype(float) - pixels(second)) ** 2).mean()
    return 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_network_that_ships_comes_nearer_to_the_original_than_lanczos(workshop, scale):
    """Of pictures of the pocket world that it was not trained on, made small by block means."""
    from modules.pocket.scenes.lot import draw_scene
    from modules.pocket.scenes.render import render

    gains = []
    for index in range(3):
        original = render(draw_scene(977, index), 96 * scale)
        small = original.reshape(96, scale, 96, scale, 3).mean((1, 3)).round().astype(np.uint8)
        wish = {"scale": float(scale), "upscaler": f"pocket-x{scale}"}
        network, lanczos = (
            distance(made(workshop, Image.fromarray(small), **{**wish, **change})[0], original)
            for change in ({}, {"upscaler": "Lanczos"})
        )
        gains.append(network - lanczos)
    assert np.mean(gains) > 0.5


@pytest.mark.parametrize(
    ("wish", "size"),
    [
        ({"scale": 3.0}, (60, 30)),
        ({"scale": 0.5}, (10, 5)),
        ({"width": 30, "height": 30}, (30, 30)),
        ({"width": 30, "height": 30, "crop": False}, (60, 30)),
        ({"width": 50}, (50, 25)),
        ({"height": 50}, (100, 50)),
    ],
)
@pytest.mark.parametrize("upscaler", ["Lanczos", "None", "plain-x2"])
def test_the_size_follows_factor_or_sides(workshop, wish, size, upscaler):
    (picture,) = made(workshop, Image.new("RGB", (20, 10), "red"), upscaler=upscaler, **wish)
    assert picture.image.size == size
    assert abs(pixels(picture) - (255, 0, 0)).max() <= 1


def test_what_is_cut_off_stands_at_the_edges(workshop):
    striped = Image.new("RGB", (30, 10))
    for left, colour in enumerate(("red", "lime", "blue")):
        striped.paste(colour, (left * 10, 0, left * 10 + 10, 10))
    (picture,) = made(workshop, striped, upscaler="Nearest", width=20, height=20)
    assert picture.image.getcolors() == [(400, (0, 255, 0))]


def test_two_upscalers_mix_by_visibility(workshop):
    source = speckled(24, 16)
    plain, redder = (pixels(made(workshop, source, upscaler=f"{name}-x2")[0]) for name in ("plain", "redder"))
    assert abs(plain - redder).max() > 40
    for share in (0.25, 0.5, 1.0):
        mixed = made(workshop, source, upscaler="plain-x2", second="redder-x2", second_share=share)[0]
        assert abs(pixels(mixed) - (plain + share * (redder - plain.astype(float)))).max() <= 1
    none = made(workshop, source, upscaler="plain-x2", second="None", second_share=0.5)[0]
    assert (pixels(none) == plain).all()


def test_what_is_transparent_stays_so(workshop):
    source = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    source.paste((0, 0, 255, 255), (0, 0, 8, 4))
    for upscaler in ("plain-x2", "Lanczos"):
        (picture,) = made(workshop, source, upscaler=upscaler)
        assert picture.image.mode == "RGBA"
        assert [picture.image.getpixel(place)[3] for place in ((8, 0), (8, 15))] == [255, 0]


def deep_file(values):
    """(height, width, 3 or 4) in 0 to 1 as PNG of sixteen bits, by the library that others use for it."""
    order = [2, 1, 0, 3][: values.shape[2]]
    return cv2.imencode(".png", (values * 65_535).round().astype(np.uint16)[..., order])[1].tobytes()


def shades(height, width, low, high):
    """A slope of grey from left to right, finer than eight bits can tell."""
    return np.broadcast_to(np.linspace(low, high, width)[None, :, None], (height, width, 3)).copy()


@pytest.mark.parametrize("upscaler", ["Lanczos", "plain-x2"])
def test_sixteen_bits_stay_sixteen(workshop, upscaler):
    """Two levels of 255 become hundreds of grey; eight bits would leave three."""
    (picture,) = made(workshop, deep_file(shades(16, 192, 100 / 255, 102 / 255)), upscaler=upscaler)
    pixels_made = picture.deep.pixels
    assert pixels_made.dtype == np.uint16
    assert pixels_made.shape == (32, 384, 3)
    row = pixels_made[16, 8:-8, 0].astype(int)
    assert len(np.unique(row)) > 150
    assert np.abs(row - np.linspace(100 / 255, 102 / 255, 384)[8:-8] * 65_535).max() < 60
    # What programs of eight bits see is the same picture.
    assert (np.asarray(picture.image) == pixels_made >> 8).all()
    assert picture.recipe["picture"]["mode"] == "RGB;16"


def test_sixteen_bits_go_the_way_of_eight(workshop):
    """The same picture in both depths, by every part of the way: mixing, transparency, cutting, several steps."""
    down, across = np.mgrid[0:12, 0:20]
    # Soft, as Pillow cuts off what swings beyond eight bits in between.
    planes = (across / 20, down / 12, 1 - across / 20, (down.clip(3, 8) - 3) / 5)
    values = np.stack([0.1 + 0.8 * plane for plane in planes], axis=2)
    values[..., 3] = planes[3]
    plain = Image.fromarray((values * 255).round().astype(np.uint8))
    for wish in (
        {"upscaler": "plain-x2", "second": "Lanczos", "second_share": 0.3},
        {"upscaler": "redder-x2", "scale": 3.0},
        {"upscaler": "Nearest", "width": 30, "height": 30},
        {"upscaler": "Lanczos", "scale": 0.5},
    ):
        deep, shallow = made(workshop, deep_file(values), **wish)[0], made(workshop, plain, **wish)[0]
        assert deep.image.mode == shallow.image.mode == "RGBA"
        ours, theirs = deep.deep.pixels / 257, np.asarray(shallow.image).astype(float)
        assert ours.shape == theirs.shape
        opaque = theirs[..., 3] > 200
        assert np.abs(ours[..., 3] - theirs[..., 3]).max() <= 1
        assert np.abs(ours[opaque] - theirs[opaque]).max() <= 2.5
        assert shallow.deep is None


def test_several_pictures_come_in_order_and_are_told_one_by_one(workshop):
    sources = [Image.new("RGB", (side, side), (side, 0, 0)) for side in (8, 12, 16)]
    pictures = made(
        workshop, *sources, upscaler="plain-x2", infotexts=("one", "", "a cat\nSteps: 3, Seed: 1, Size: 8x8")
    )
    assert [picture.image.size for picture in pictures] == [(16, 16), (24, 24), (32, 32)]
    assert [event.picture.index for event in workshop.events if isinstance(event, ImageReady)] == [0, 1, 2]
    stages = [(event.stage, event.batch) for event in workshop.events if isinstance(event, StageStarted)]
    assert stages == [("load", 0), ("enlarge", 0), ("enlarge", 1), ("enlarge", 2)]
    shares = [event.progress for event in workshop.events if isinstance(event, StepDone)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    line = "Postprocess upscale by: 2, Postprocess upscaler: plain-x2, Postprocess upscaler hash: "
    assert pictures[0].infotext.startswith(f"one\n{line}")
    assert pictures[1].infotext.startswith(line)
    assert pictures[2].infotext.startswith(f"a cat\nSteps: 3, Seed: 1, Size: 8x8, {line}")
    assert [picture.prompt for picture in pictures] == ["one", "", "a cat"]


def test_progress_counts_tiles(workshop):
    workshop.settings.update({"ESRGAN_tile": 32, "ESRGAN_tile_overlap": 8})
    made(workshop, speckled(64, 64), upscaler="plain-x2")
    workshop.settings.update({"ESRGAN_tile": 256, "ESRGAN_tile_overlap": 32})
    steps = [(event.step, event.steps) for event in workshop.events if isinstance(event, StepDone)]
    assert steps == [(step, 9) for step in range(1, 10)]


@pytest.fixture
def forwards(workshop, monkeypatch):
    """What networks are given until the test ends; `forwards.before` is called before each."""
    from modules.upscalers.spandrel_model import UpscalerModel

    class Seen(list):
        before = staticmethod(lambda tensor: None)

    seen, plain = Seen(), UpscalerModel.forward

    def watched(self, tensor):
        seen.append(tuple(tensor.shape[-2:]))
        seen.before(tensor)
        return plain(self, tensor)

    workshop.engine.upscalers.empty()
    monkeypatch.setattr(UpscalerModel, "forward", watched)
    workshop.settings.update({"ESRGAN_tile": 32, "ESRGAN_tile_overlap": 8})
    yield seen
    workshop.settings.update({"ESRGAN_tile": 256, "ESRGAN_tile_overlap": 32})
    workshop.engine.upscalers.empty()


def test_cancelling_stops_within_a_tile_and_keeps_what_is_finished(workshop, forwards):
    context = RunContext("job", workshop.events.append)

    def before(tensor):
        if len(forwards) == 12:  # the third tile of the second picture
            context.cancelled.set()

    forwards.before = before
    asked = ask(speckled(64, 64), speckled(64, 64, 1), upscaler="plain-x2")
    result = workshop.draw(asked, context=context)
    assert len(forwards) == 12
    assert result.interrupted
    assert [picture.index for picture in result.pictures] == [0]


def test_skipping_leaves_one_picture(workshop, forwards):
    context = RunContext("job", workshop.events.append)

    def before(tensor):
        if len(forwards) == 2:
            context.skipped.set()

    forwards.before = before
    result = workshop.draw(ask(speckled(64, 64), speckled(16, 16), upscaler="plain-x2"), context=context)
    assert [picture.index for picture in result.pictures] == [1]
    assert result.notes == ("Picture 1 was skipped.",)
    assert not result.interrupted


def test_without_memory_tiles_become_smaller(workshop, forwards):
    def before(tensor):
        if tensor.shape[-1] > 64:
            raise MemoryError("too large")

    workshop.settings.update({"ESRGAN_tile": 0})
    source = speckled(160, 96)
    plain = made(workshop, source, upscaler="redder-x2")[0]
    forwards.clear()
    forwards.before = before
    small = made(workshop, source, upscaler="redder-x2")[0]
    assert forwards[:2] == [(96, 160), (80, 80)]
    assert set(forwards[2:]) == {(64, 64)}
    assert abs(pixels(small) - pixels(plain)).max() <= 1

    def never(tensor):
        raise MemoryError("never")

    forwards.before = never
    with pytest.raises(OutOfMemory, match="smaller tile"):
        made(workshop, source, upscaler="redder-x2")
    forwards.before = lambda tensor: None
    assert made(workshop, source, upscaler="redder-x2")


def test_the_recipe_names_the_weights_and_the_picture(workshop):
    import hashlib

    path = ROOT / "models" / "pocket" / "upscalers" / "pocket-x2.safetensors"
    recipe = made(workshop, speckled(16, 16), upscaler="pocket-x2", second="Lanczos", second_share=0.5)[0].recipe
    assert recipe["mode"] == "enlarge"
    assert recipe["upscalers"]["pocket-x2"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert recipe["upscalers"]["Lanczos"] == {"sha256": None, "share": 0.5}
    assert (recipe["picture"]["width"], recipe["width"]) == (16, 32)
    assert recipe["parameters"]["enlarge.second_share"] == 0.5
    other = made(workshop, speckled(16, 16, 5), upscaler="pocket-x2")[0].recipe
    assert other["picture"]["sha256"] != recipe["picture"]["sha256"]


def test_what_cannot_be_done_is_said_before_anything_is_made(workshop):
    small, cases = speckled(8, 8), []
    cases.append((ask(small, upscaler="SwinIR"), InvalidRequest, "known are"))
    cases.append((ask(small, upscaler="Latent"), UnsupportedFeature, "hires pass only"))
    cases.append((ask(small, upscaler="cut"), BrokenModel, r"cut\.safetensors"))
    cases.append((ask(small, scale=16.5), InvalidRequest, "allowed is 0.001 to 16"))
    cases.append((ask(small, second_share=1.5), InvalidRequest, "allowed is 0 to 1"))
    cases.append((ask(Image.new("L", (1000, 10)), scale=16.0), InvalidRequest, "at most 8192 pixels a side"))
    cases.append((ask(*[Image.new("1", (2000, 2000))] * 5, scale=4.0), InvalidRequest, "at most 256 are made"))
    cases.append((ask(Image.new("1", (8190, 8190)), b"x", scale=1.0), InvalidRequest, "Picture 2 to enlarge is no PNG"))
    cases.append((ask(), InvalidRequest, "0 pictures"))
    cases.append((ask(small, infotexts=("a", "b")), InvalidRequest, "2 infotexts"))
    cases.append((replace(ask(small), hires=HiresParams(enabled=True)), InvalidRequest, "larger or draws"))
    workshop.events.clear()
    for request, kind, words in cases:
        with pytest.raises(kind, match=words):
            workshop.draw(request)
    with pytest.raises(InvalidRequest, match="nothing to draw"):
        workshop.engine.resolve(ask(small))
    assert workshop.events == []


def test_what_a_network_makes_first_is_bounded_too(workshop):
    workshop.settings.update({"upscale_max_megapixels": 0.01})
    try:
        with pytest.raises(InvalidRequest, match="The enlarged picture would be 128 × 128"):
            made(workshop, speckled(64, 64), upscaler="plain-x2")
        with pytest.raises(InvalidRequest, match="What plain-x2 makes would be 128 × 128"):
            made(workshop, speckled(64, 64), upscaler="plain-x2", scale=1.0)
    finally:
        workshop.settings.update({"upscale_max_megapixels": 68.0})
