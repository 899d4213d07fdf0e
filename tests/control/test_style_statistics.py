"""Style by statistics: whose colours and textures a picture has afterwards, and whose shapes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.control.style_statistics import find_colours, transfer_style
from modules.pocket.evaluation.edges import edges_f1, find_edges

WORLD = {
    "circle": ((250, 250, 250), (220, 30, 30)),
    "square": ((30, 160, 60), (40, 60, 200)),
    "triangle": ((240, 210, 40), (40, 60, 200)),
}


def scene(shape, grain=3.0, size=160):
    """A thing on a ground, with the grain that a camera or a decoder leaves."""
    ground, thing = WORLD[shape]
    image = Image.new("RGB", (size, size), ground)
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse((40, 40, 120, 120), fill=thing)
    elif shape == "square":
        pen.rectangle((60, 10, 140, 90), fill=thing)
    else:
        pen.polygon([(10, 150), (80, 10), (150, 150)], fill=thing)
    noisy = np.asarray(image) + np.random.default_rng(1).normal(0, grain, (size, size, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def off_palette(picture, shape):
    """How far pixels are from the nearest colour of that scene, on average, 0 to 441."""
    away = picture[:, :, None].astype(float) - np.array(WORLD[shape])
    return np.linalg.norm(away, axis=-1).min(axis=-1).mean()


@pytest.mark.parametrize("content", WORLD)
@pytest.mark.parametrize("style", WORLD)
def test_edges_stay_where_they_are_and_colours_are_the_styles(content, style):
    given = scene(content)
    for hold in (0.0, 1.0):
        made = transfer_style(given, scene(style), 1.0, hold)
        assert made.shape == given.shape
        assert edges_f1(find_edges(made), find_edges(given)) > 0.95
        assert off_palette(made, style) < 40
        if content != style:
            assert off_palette(given, style) > 2 * off_palette(made, style)


def test_strength_goes_from_the_content_itself_to_all_of_the_style():
    given, style = scene("circle"), scene("square")
    assert transfer_style(given, style, 0.0, 0.5) is given
    away = [off_palette(transfer_style(given, style, strength, 0.5), "square") for strength in (0.25, 0.5, 1.0)]
    assert away == sorted(away, reverse=True)
    assert np.array_equal(transfer_style(given, style, 1.0, 0.5), transfer_style(given, style, 1.0, 0.5))


def test_texture_comes_from_the_style_as_far_as_the_content_does_not_hold_its_own():
    chance = np.random.default_rng(2)
    smooth = np.repeat(np.linspace(60, 200, 128).astype(np.uint8)[None, :, None], 128, axis=0).repeat(3, axis=2)
    given = np.clip(smooth + chance.normal(0, 4, (128, 128, 1)), 0, 255).astype(np.uint8)
    rough = np.clip(smooth + chance.normal(0, 30, (128, 128, 1)), 0, 255).astype(np.uint8)

    def roughness(picture):
        return np.abs(np.diff(picture[..., 0].astype(int), axis=0)).mean()

    loose, firm = (transfer_style(given, rough, 1.0, hold) for hold in (0.0, 1.0))
    assert roughness(loose) > 1.5 * roughness(given)
    assert roughness(firm) < 1.3 * roughness(given)


def test_shapes_are_kept_where_the_style_has_one_colour_only():
    given, plain = scene("circle"), np.full((40, 60, 3), (30, 90, 200), np.uint8)
    made = transfer_style(given, plain, 1.0, 1.0)
    assert edges_f1(find_edges(made), find_edges(given)) > 0.6
    assert np.abs(np.median(made.reshape(-1, 3), axis=0) - (30, 90, 200)).max() < 60


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (3, 5), (17, 31)])
def test_pictures_of_any_size(size):
    given = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for one, other in ((given, scene("circle")), (scene("circle"), given)):
        assert transfer_style(one, other, 1.0, 0.5).shape == one.shape


def test_a_picture_is_made_of_its_colours():
    points = np.concatenate([np.full((900, 3), 10.0), np.full((99, 3), 60.0), np.full((1, 3), 120.0)])
    colours, shares = find_colours(points.astype(np.float32))
    assert colours.tolist() == [[10.0] * 3, [60.0] * 3]  # what covers a thousandth is no colour
    assert shares.sum() == pytest.approx(1.0)
    assert 0.099 < shares[1] < 0.5
