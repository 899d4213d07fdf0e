"""Margins round a picture, masks that act in time, noise that is moved, and colours that are brought back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from modules.contracts.errors import InvalidRequest
from modules.contracts.request import (
    CanvasParams,
    ImageParams,
    InpaintParams,
    OutpaintParams,
    SeedParams,
)
from modules.contracts.tiles import SdUpscaleParams
from modules.processing_diffusers.colours import match_colours
from tests.processing_diffusers.conftest import ask, encode, pixels, speckled


def grow(bench, given, *, strength=1.0, steps=4, inpaint=None, canvas=None, **sides):
    request = ask(
        steps=steps,
        canvas=canvas or CanvasParams(),
        image=ImageParams((encode(given),), strength),
        inpaint=inpaint,
        outpaint=OutpaintParams(**sides),
    )
    return bench.draw(request)


@pytest.mark.parametrize(
    "sides", [{"left": 32}, {"right": 16, "top": 8}, {"left": 8, "right": 8, "top": 24, "bottom": 40}]
)
def test_the_canvas_grows_and_the_picture_stays(bench, sides):
    given = speckled()
    drawn = grow(bench, given, overlap=8, blur=4, **sides).pictures[0]
    outpaint = OutpaintParams(overlap=8, blur=4, **sides)
    assert drawn.image.size == outpaint.size_of(given.size)
    left, top, right, bottom = outpaint.kept(given.size)
    held = np.asarray(drawn.image)[top:bottom, left:right]
    x, y = left - outpaint.left, top - outpaint.top
    assert (held == np.asarray(given)[y : y + bottom - top, x : x + right - left]).all()
    assert drawn.recipe["parameters"]["outpaint.left"] == sides.get("left", 0)
    assert f"Outpaint {next(iter(sides))}: {next(iter(sides.values()))}" in drawn.infotext


def test_the_margin_is_drawn_and_not_merely_filled(bench):
    given = Image.new("RGB", (64, 64), (200, 40, 40))
    drawn = pixels(grow(bench, given, right=32, overlap=0).pictures[0])
    margin = drawn[:, 64:].astype(int)
    assert abs(margin - np.array([200, 40, 40])).mean() > 3
    again = pixels(grow(bench, given, right=32, overlap=0).pictures[0])
    assert (drawn == again).all()


def test_an_overlap_goes_over_softly(bench):
    given = speckled()
    drawn = pixels(grow(bench, given, right=32, overlap=16, blur=16).pictures[0]).astype(int)
    off = abs(drawn[:, :64] - np.asarray(given).astype(int)).mean(axis=(0, 2))
    assert (off[:48] == 0).all()
    assert off[48:52].mean() < off[60:64].mean()


def test_a_size_that_the_model_cannot_draw_is_kept(bench):
    drawn = grow(bench, speckled(60), left=13, overlap=4).pictures[0]
    assert drawn.image.size == (73, 64)


def test_width_and_height_are_left_aside(bench):
    assert grow(bench, speckled(), right=32, canvas=CanvasParams(128, 128)).pictures[0].image.size == (96, 64)


def test_a_mask_goes_with_a_margin(bench):
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 16, 16))
    drawn = pixels(
        grow(bench, speckled(), right=32, overlap=0, inpaint=InpaintParams(encode(mask), blur=0)).pictures[0]
    )
    changed = (drawn[:, :64] != np.asarray(speckled())).any(axis=2)
    assert changed[:16, :16].mean() > 0.5
    changed[:16, :16] = False
    assert not changed.any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, "give one"),
        ({"upscale": SdUpscaleParams("Lanczos")}, "one of them"),
        ({"outpaint": OutpaintParams(left=-8)}, "0 to 4096"),
        ({"outpaint": OutpaintParams(left=8, fill="original")}, "latent noise"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(bench, changes, words):
    given = {"image": ImageParams((encode(speckled()),)), "outpaint": OutpaintParams(left=8), **changes}
    with pytest.raises(InvalidRequest, match=words):
        bench.draw(ask(**given))


def test_a_grey_mask_gives_each_place_a_strength_of_its_own(bench):
    given, mask = speckled(), Image.new("L", (64, 64))
    for column, grey in enumerate((0, 60, 150, 255)):
        mask.paste(grey, (16 * column, 0, 16 * column + 16, 64))

    def off(**how):
        request = ask(
            steps=8,
            canvas=CanvasParams(64, 64),
            image=ImageParams((encode(given),), 1.0),
            inpaint=InpaintParams(encode(mask), blur=0, fill="original", only_masked=False, **how),
        )
        drawn = pixels(bench.draw(request).pictures[0]).astype(int)
        return [abs(drawn - np.asarray(given).astype(int))[:, 16 * n + 4 : 16 * n + 12].mean() for n in range(4)]

    soft = off(gradual=True)
    assert soft[0] == 0
    assert 0 < soft[1] < soft[2] < soft[3] * 1.05
    assert soft[1] < 0.8 * soft[3]


def test_a_white_mask_acts_from_the_first_step(bench):
    given, white = speckled(), Image.new("L", (64, 64), 255)
    shared = {"canvas": CanvasParams(64, 64), "image": ImageParams((encode(given),), 0.7)}
    how = InpaintParams(encode(white), blur=0, fill="original", only_masked=False, gradual=True)
    gradual = pixels(bench.draw(ask(steps=5, inpaint=how, **shared)).pictures[0])
    assert (gradual == pixels(bench.draw(ask(steps=5, **shared)).pictures[0])).all()


def test_noise_is_moved_channel_by_channel_from_the_seed(bench):
    plain, moved, again = (
        pixels(bench.draw(ask(seeds=SeedParams(1, noise_offset=offset))).pictures[0]) for offset in (0.0, 0.4, 0.4)
    )
    assert (moved == again).all()
    assert (moved != plain).any()


def test_colours_come_back_and_light_stays():
    wanted = Image.merge(
        "RGB", [Image.radial_gradient("L").resize((64, 64)).point(lambda v, k=k: v * k) for k in (0.9, 0.3, 0.2)]
    )
    drawn = Image.merge(
        "RGB", [Image.linear_gradient("L").resize((64, 64)).point(lambda v, k=k: v * k) for k in (0.2, 0.4, 0.8)]
    )
    mended = match_colours(drawn, wanted)

    def means(image):
        import cv2

        return cv2.cvtColor(np.asarray(image, np.float32) / 255, cv2.COLOR_RGB2LAB).mean(axis=(0, 1))

    light, red, blue = means(mended)
    assert abs(light - means(drawn)[0]) < 4
    assert abs(red - means(wanted)[1]) < 6 < abs(means(drawn)[1] - means(wanted)[1])
    assert abs(blue - means(wanted)[2]) < 10 < abs(means(drawn)[2] - means(wanted)[2])
    assert abs(np.asarray(match_colours(wanted, wanted)).astype(int) - np.asarray(wanted).astype(int)).max() <= 4


def test_colour_correction_reaches_the_picture(bench):
    given = Image.new("RGB", (64, 64), (60, 140, 90))
    given.paste((90, 160, 70), (0, 0, 64, 20))
    plain, mended = (
        bench.draw(ask(image=ImageParams((encode(given),), 0.9, color_correction=on))).pictures[0]
        for on in (False, True)
    )
    wanted = np.asarray(given, float).mean(axis=(0, 1))

    def cast(picture):
        mean = pixels(picture).astype(float).mean(axis=(0, 1))
        return abs((mean - mean.mean()) - (wanted - wanted.mean())).max()

    assert cast(mended) < 0.5 * cast(plain)
    assert "Color correction: True" in mended.infotext
    assert "Color correction" not in plain.infotext
