"""The judge is right about rendered scenes; what it gets wrong here bounds what a figure of a model can be off by."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from modules.pocket.evaluation.judge import find, judge, things_mask
from modules.pocket.scenes.colours import list_contrasting
from modules.pocket.scenes.heldout import list_held_out
from modules.pocket.scenes.lot import plain_scene
from modules.pocket.scenes.render import render
from modules.pocket.scenes.scene import Ground, Scene, Thing
from modules.pocket.scenes.vocabulary import COLOURS, FIGURES, OBJECTS, SIZES, STYLES


def ground_for(colour, number):
    grounds = list_contrasting((COLOURS[colour],))
    return grounds[number % len(grounds)]


def test_figures_on_plain_grounds_are_named_on_every_held_out_combination():
    rows = list_held_out("ground")
    right, single = [], []
    for number, (kind, colour, ground) in enumerate(rows):
        picture = render(plain_scene(number, kind, colour, ground, size=SIZES[number % 3]), 128)
        seen = judge(picture)
        right.append((seen.shape, seen.colour, seen.ground) == (kind, colour, ground))
        single.append(seen.count == 1)
    assert len(rows) >= 200
    assert np.mean(right) >= 0.97
    assert np.mean(single) >= 0.97


def test_things_of_all_kinds_stand_where_they_were_put():
    hits = []
    for number, (kind, colour, place) in enumerate(list_held_out("place")[::2]):
        seen = judge(render(plain_scene(number, kind, colour, ground_for(colour, number), place=place), 128))
        hits.append(seen.place == place)
    assert len(hits) >= 100
    assert np.mean(hits) >= 0.95


def test_things_of_all_kinds_are_counted_whatever_details_and_gaps_they_have():
    hits = []
    for number, (kind, colour, count) in enumerate(list_held_out("count")[::2]):
        seen = judge(render(plain_scene(number, kind, colour, ground_for(colour, number), count=count), 128))
        hits.append(seen.count == count == len(seen.boxes))
    assert len(hits) >= 100
    assert np.mean(hits) >= 0.95


@pytest.mark.parametrize("count", [4, 5])
def test_four_and_five_things_are_counted(count):
    kinds = (*FIGURES, *OBJECTS)[::2]
    seen = [judge(render(plain_scene(7, kind, "red", "white", count=count), 128)).count for kind in kinds]
    assert np.mean([each == count for each in seen]) >= 0.9


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("kind", FIGURES)
def test_the_side_of_a_picture_does_not_matter(kind, side):
    seen = judge(render(plain_scene(3, kind, "purple", "yellow", place="top left", size="small"), side))
    assert (seen.shape, seen.colour, seen.ground, seen.count) == (kind, "purple", "yellow", 1)
    assert seen.place == "top left"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda picture, lot: cv2.GaussianBlur(picture, (0, 0), 1.5),
        lambda picture, lot: np.clip(picture + lot.normal(0, 12, picture.shape), 0, 255).astype(np.uint8),
        lambda picture, lot: cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1),
    ],
    ids=["blurred", "noisy", "compressed"],
)
def test_pictures_need_not_be_clean(spoil):
    lot = np.random.default_rng(0)
    rows = list_held_out("ground")[::9]
    right = []
    for number, (kind, colour, ground) in enumerate(rows):
        seen = judge(spoil(render(plain_scene(number, kind, colour, ground), 128), lot))
        right.append((seen.shape, seen.colour, seen.ground, seen.count) == (kind, colour, ground, 1))
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize(("style", "least"), [("outlined", 0.95), ("watercolour", 0.85), ("pixel art", 0.85)])
def test_other_styles_are_mostly_understood(style, least):
    right = []
    for number, (kind, colour, ground) in enumerate(list_held_out("ground")[::9]):
        seen = judge(render(plain_scene(number, kind, colour, ground, style=style), 192))
        right.append((seen.shape, seen.colour, seen.ground) == (kind, colour, ground))
    assert style in STYLES
    assert np.mean(right) >= least


@pytest.mark.parametrize("ground", ["sky", "night", "meadow", "snow", "checkerboard"])
def test_a_thing_of_a_known_colour_is_found_before_any_ground(ground):
    thing = Thing("star", "red", 0.3, 0.4, 0.2, 0.0, 5)
    picture = render(Scene((thing,), Ground(ground, (), 4), "flat", "medium", "left"), 192)
    seen = find(picture, "red")
    assert (seen.count, seen.shape, seen.colour) == (1, "star", "red")
    assert seen.centre == pytest.approx((0.3, 0.4), abs=0.03)
    assert find(picture, "purple").count == 0


def test_an_empty_picture_shows_nothing():
    seen = judge(np.full((128, 128, 3), 240, np.uint8))
    assert (seen.ground, seen.colour, seen.shape, seen.count, seen.boxes) == ("white", "none", "none", 0, ())
    assert not things_mask(np.full((64, 64, 3), 20, np.uint8)).any()


def test_boxes_and_cover_measure_what_is_there():
    picture = np.full((200, 200, 3), 248, np.uint8)
    picture[40:80, 20:100] = (36, 84, 214)
    picture[120:180, 120:180] = (36, 84, 214)
    seen = judge(picture)
    assert (seen.count, seen.colour) == (2, "blue")
    assert seen.cover == pytest.approx((40 * 80 + 60 * 60) / 200**2, rel=0.05)
    largest = seen.boxes[0]
    assert (largest.left, largest.top, largest.right, largest.bottom) == pytest.approx((0.6, 0.6, 0.9, 0.9), abs=0.01)


def test_what_is_no_plane_figure_is_called_other():
    picture = np.full((128, 128, 3), 248, np.uint8)
    for x in range(16, 112, 4):
        picture[60 + (x // 4 % 2) * 6 : 66 + (x // 4 % 2) * 6, x : x + 4] = (18, 18, 22)
    assert judge(picture).shape == "other"
