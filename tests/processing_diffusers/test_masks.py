"""Masks and pictures on the way in and out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.processing_diffusers.masks import blend, cells_to_repaint, find_region, soften_mask, spread_colours
from modules.processing_diffusers.pictures import resize_picture
from tests.processing_diffusers.conftest import speckled


def box(width, height, *bounds):
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rectangle(bounds, fill=255)
    return mask


def test_a_soft_mask_is_white_inside_and_fades_outwards():
    values = np.asarray(soften_mask(box(64, 64, 16, 16, 47, 47), (64, 64), blur=(4, 4), invert=False), np.int16)
    assert values[32, 32] == 255
    assert values[0, 0] == 0
    assert 255 > values[32, 14] > values[32, 10] > 0


def test_the_edge_may_be_soft_across_and_sharp_down():
    mask = box(64, 64, 16, 16, 47, 47)
    across = np.asarray(soften_mask(mask, (64, 64), blur=(4, 0), invert=False), np.int16)
    down = np.asarray(soften_mask(mask, (64, 64), blur=(0, 4), invert=False), np.int16)
    assert 255 > across[32, 14] > 0
    assert (across[14, 32], across[16, 32]) == (0, 255)
    assert (down == across.T).all()


@pytest.mark.parametrize("aspect", [1.0, 2.0, 0.5])
def test_the_region_holds_the_mask_and_has_the_aspect(aspect):
    left, top, right, bottom = find_region(box(200, 200, 90, 95, 119, 104), 8, aspect)
    assert left <= 82
    assert top <= 87
    assert right >= 128
    assert bottom >= 113
    assert abs((right - left) / (bottom - top) - aspect) < 0.1


def test_the_region_stays_inside_the_picture():
    assert find_region(box(100, 50, 0, 0, 5, 5), 10, 1.0) == (0, 0, 16, 16)
    assert find_region(box(100, 20, 90, 0, 99, 19), 30, 4.0) == (20, 0, 100, 20)
    assert find_region(Image.new("L", (10, 10)), 5, 1.0) is None


def test_colours_flow_in_from_the_border():
    image = Image.new("RGB", (64, 64), (200, 30, 30))
    ImageDraw.Draw(image).rectangle((20, 20, 43, 43), fill=(0, 0, 255))
    filled = np.asarray(spread_colours(image, box(64, 64, 18, 18, 45, 45)), np.int16)
    assert abs(filled - (200, 30, 30)).max() <= 2


def test_a_gradient_flows_through_the_gap():
    ramp = np.repeat(np.linspace(0, 255, 64)[None], 64, 0).astype(np.uint8)
    image = Image.fromarray(np.dstack([ramp] * 3))
    filled = np.asarray(spread_colours(image, box(64, 64, 24, 24, 39, 39)), np.int16)
    assert filled[32, 25, 0] < filled[32, 38, 0]
    assert (filled[:20] == np.asarray(image)[:20]).all()


def test_any_pixel_to_repaint_makes_its_cell_one():
    mask = Image.new("L", (32, 16))
    mask.putpixel((9, 3), 1)
    assert cells_to_repaint(mask, 8).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_a_cell_may_have_the_share_of_its_pixels():
    mask = box(32, 16, 8, 0, 11, 7)
    mask.paste(255, (16, 0, 24, 8))
    assert cells_to_repaint(mask, 8, whole=False).tolist() == [[0, 0.5, 1, 0], [0, 0, 0, 0]]
    assert cells_to_repaint(mask, 8).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]


def test_blending_is_exact_at_both_ends():
    drawn, original = speckled(seed=1), speckled(seed=2)
    mask = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
    mask.paste(255, (60, 0, 64, 64))
    result = np.asarray(blend(drawn, original, mask))
    assert (result[:, 0] == np.asarray(original)[:, 0]).all()
    assert (result[:, 60:] == np.asarray(drawn)[:, 60:]).all()


def test_resize_modes_cover_fit_or_stretch():
    image = Image.new("RGB", (40, 20), (0, 255, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 4, 19), fill=(255, 0, 0))
    stretched, cropped, fitted = (
        np.asarray(resize_picture(image, (40, 40), mode)) for mode in ("stretch", "crop", "fill")
    )
    assert stretched[20, 1, 0] > 200
    assert (cropped[20, 2] == (0, 255, 0)).all()
    assert fitted[20, 1, 0] > 200
    assert (fitted[1, 20] == (0, 255, 0)).all()
