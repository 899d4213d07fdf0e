"""Preprocessors: what they find in pictures of which that is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from modules.contracts.control import RESIZE_MODES, HintParams, build_unit
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.control import table
from modules.control.geometry import fit, perfect_side, scale_to
from modules.control.hints import FUNCTIONS, HIDDEN, Given, make_hint, make_map, region_of

SIDE, RADIUS = 128, 40


def disc(side=SIDE, radius=RADIUS, paper=255, ink=0):
    """A disc of `ink` in the middle of the paper, without smooth edges."""
    image = np.full((side, side, 3), paper, np.uint8)
    cv2.circle(image, (side // 2, side // 2), radius, (ink,) * 3, -1)
    return image


def distance_from_outline(side=SIDE, radius=RADIUS):
    """Pixels between each pixel and the outline."""
    down, across = np.mgrid[:side, :side] - side // 2
    return np.abs(np.hypot(down, across) - radius)


def blind(entry, image):
    raise AssertionError(f"{entry.name} needs no network")


def run(name, image, **values):
    """The map of one preprocessor, at the picture's own size."""
    side = min(image.shape[:2])
    return make_map(table.find_preprocessor(name), build_unit({"processor_res": side, **values}), image, None, 0, blind)


def noise(height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_every_preprocessor_of_the_table_is_there_and_gives_pixels():
    assert {entry.name for entry in table.WORKING} == FUNCTIONS.keys()
    for entry in table.WORKING:
        for image in (noise(), np.zeros((33, 47, 3), np.uint8), np.full((5, 9, 3), 255, np.uint8)):
            found = run(entry.name, image)
            assert (found.dtype, found.shape) == (np.uint8, image.shape), entry.name
            assert np.array_equal(found, run(entry.name, image)), entry.name


@pytest.mark.parametrize("name", ["canny", "scribble_xdog", "softedge_gradient", "lineart_standard"])
def test_lines_are_where_the_outline_is(name):
    found, away = run(name, disc())[..., 0], distance_from_outline()
    assert found[away > 12].max(initial=0) == 0 or found[away > 12].mean() < 3
    around = [
        (SIDE // 2 + round(RADIUS * np.sin(a)), SIDE // 2 + round(RADIUS * np.cos(a))) for a in np.arange(0, 6.28, 0.1)
    ]
    near = [found[y - 3 : y + 4, x - 3 : x + 4].max() for y, x in around]
    assert min(near) > 100, "the line goes all the way round"


def test_canny_is_one_pixel_thin_and_its_thresholds_count():
    found = run("canny", disc())[..., 0]
    assert set(np.unique(found)) == {0, 255}
    assert 2 * np.pi * RADIUS * 0.8 < (found > 0).sum() < 2 * np.pi * RADIUS * 1.6
    faint = disc(ink=225)
    assert run("canny", faint, threshold_a=100, threshold_b=200).max() == 0
    assert run("canny", faint, threshold_a=10, threshold_b=30).max() == 255


def test_a_soft_edge_says_how_strong_it_is():
    image = disc()
    image[:, :8] = 128
    found = run("softedge_gradient", image)[..., 0].astype(int)
    outline, stripe = found[:, 60:68].max(), found[4:20, 4:12].max()
    assert outline > 200 > stripe > 60
    assert set(np.unique(run("softedge_gradient_safe", image))) <= {0, 85, 170, 255}


def test_scribble_and_threshold_have_two_values_and_obey_their_number():
    assert set(np.unique(run("scribble_xdog", disc()))) == {0, 255}
    dark, light = (run("threshold", noise(), threshold_a=value).mean() for value in (200, 50))
    assert dark < light
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert run("threshold", grey, threshold_a=99).min() == 255
    assert run("threshold", grey, threshold_a=100).max() == 0


def test_invert_and_none():
    image = noise()
    assert np.array_equal(run("invert", image), 255 - image)
    assert np.array_equal(run("none", image), image)


def test_tile_and_blur_keep_colours_and_lose_detail():
    image = noise()
    for name, weak, strong in (("tile_resample", 1.5, 8.0), ("blur_gaussian", 0.7, 20.0)):
        soft, softer = (run(name, image, threshold_a=value).astype(float) for value in (weak, strong))
        assert image.astype(float).std() > soft.std() > softer.std()
        assert np.abs(softer.mean((0, 1)) - image.mean((0, 1))).max() < 6


def test_recolour_models_see_brightness_alone():
    image = np.zeros((4, 3, 3), np.uint8)
    image[:, 0], image[:, 1], image[:, 2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    light, strong = run("recolor_luminance", image)[0], run("recolor_intensity", image)[0]
    assert light[1, 0] > light[0, 0] > light[2, 0], "green is lightest, blue darkest"
    assert (strong == 255).all()
    grey = np.full((4, 4, 3), 128, np.uint8)
    assert run("recolor_intensity", grey, threshold_a=2.0)[0, 0, 0] == pytest.approx(64, abs=1)


def test_shuffle_keeps_the_palette_and_goes_by_its_seed():
    image, entry = disc(), table.find_preprocessor("shuffle")
    unit = build_unit({"processor_res": SIDE})
    one, same, other = (make_map(entry, unit, image, None, seed, blind) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, image)
    for found in (one, other):
        assert ((found < 10) | (found > 245)).mean() > 0.8
        assert found.min() == 0


def test_segments_are_areas_of_one_colour():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :32], image[:, 32:] = (200, 30, 30), (30, 30, 200)
    noisy = np.clip(image.astype(int) + np.random.default_rng(0).integers(-15, 16, image.shape), 0, 255)
    found = run("segment_colors", noisy.astype(np.uint8), threshold_a=2)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 2
    assert (found[:, :30] == found[0, 0]).all()
    assert np.abs(found[0, 0].astype(int) - (200, 30, 30)).max() < 12
    assert len(np.unique(run("segment_colors", noise(), threshold_a=5).reshape(-1, 3), axis=0)) <= 5


def test_inpaint_hides_what_the_mask_shows():
    image, mask = noise(64, 64), np.zeros((32, 32), np.uint8)
    mask[8:16, 8:16] = 255
    entry = table.find_preprocessor("inpaint_global_harmonious")
    unit = build_unit({"resize_mode": RESIZE_MODES[0]})
    hint = make_hint(entry, unit, Given(image, mask), (64, 64), 0, blind)
    assert (hint[18:30, 18:30] == HIDDEN).all()
    assert np.array_equal(hint[40:], image[40:].astype(np.float32) / 255)
    with pytest.raises(InvalidRequest, match="wants a mask"):
        make_hint(entry, unit, Given(image), (64, 64), 0, blind)


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("size", [(64, 64), (120, 56), (40, 104), (200, 136)])
@pytest.mark.parametrize("name", ["canny", "none", "shuffle", "segment_colors"])
def test_hints_are_of_the_drawings_size(mode, size, name):
    unit = build_unit({"resize_mode": mode, "processor_res": 50})
    hint = make_hint(table.find_preprocessor(name), unit, Given(noise(60, 75)), size, 0, blind)
    assert (hint.dtype, hint.shape) == (np.float32, (size[1], size[0], 3))
    assert 0 <= hint.min() <= hint.max() <= 1


def test_modes_keep_or_give_up_proportions():
    image = np.zeros((32, 64, 3), np.uint8)
    image[8:24, 24:40] = 255
    stretched, cut, filled = (fit(image, (64, 64), mode, hard=True)[..., 0] > 0 for mode in RESIZE_MODES)
    spans = [(mask.any(1).sum(), mask.any(0).sum()) for mask in (stretched, cut, filled)]
    assert spans == [(32, 16), (32, 32), (16, 16)]
    assert region_of(Given(image, np.full((32, 64), 255, np.uint8)), (64, 64), RESIZE_MODES[2])[:15].max() == 0


def test_a_preprocessor_looks_at_the_resolution_that_was_asked_for():
    image = noise(60, 90)
    assert scale_to(image, 30).shape == (30, 45, 3)
    entry = table.find_preprocessor("canny")
    assert make_map(entry, build_unit({}), image, None, 0, blind).shape[0] == 512
    perfect = build_unit({"pixel_perfect": True, "processor_res": 512})
    assert make_map(entry, perfect, image, (180, 240), 0, blind).shape == (240, 360, 3)
    assert perfect_side((90, 60), (180, 240), RESIZE_MODES[2]) == 120


def test_numbers_out_of_reach_are_brought_to_the_bounds():
    image = noise()
    assert np.array_equal(run("tile_resample", image, threshold_a=64), run("tile_resample", image, threshold_a=8))
    assert build_unit({}).hint == HintParams()


def test_names_aliases_and_what_is_missing():
    assert table.find_preprocessor("Lineart_Standard (from white bg & black line)").name == "lineart_standard"
    assert table.find_preprocessor(" ").name == "none"
    words = [word.casefold() for entry in table.ALL for word in {entry.name, entry.label, *entry.aliases}]
    assert len(words) == len(set(words))
    with pytest.raises(UnsupportedFeature, match=r"depth_midas needs a network such as .*490 MB.*Those that work"):
        table.find_preprocessor("depth")
    with pytest.raises(InvalidRequest, match="no preprocessor 'cany'"):
        table.find_preprocessor("cany")
