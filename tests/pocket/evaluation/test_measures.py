"""Edges agree within a tolerance, differences are those outside of a mask, sheets show every picture with its mark."""

from __future__ import annotations

import numpy as np
import pytest

from modules.pocket.evaluation.bars import Shown
from modules.pocket.evaluation.difference import compare, layout_overlap
from modules.pocket.evaluation.edges import edges_f1, find_edges
from modules.pocket.evaluation.sheets import RIGHT, WRONG, lay_out
from modules.pocket.scenes.lot import plain_scene
from modules.pocket.scenes.render import render


def line(column, side=64):
    edges = np.zeros((side, side), np.uint8)
    edges[:, column] = 255
    return edges


@pytest.mark.parametrize(("away", "agree"), [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_edges_agree_within_the_tolerance_and_not_beyond(away, agree):
    assert edges_f1(line(20), line(20 + away), tolerance=2) == agree


def test_edges_that_are_too_many_or_missing_cost():
    both = np.maximum(line(20), line(40))
    assert edges_f1(both, line(20)) == pytest.approx(2 / 3)
    assert edges_f1(line(20), both) == pytest.approx(2 / 3)
    nothing = np.zeros((64, 64), np.uint8)
    assert edges_f1(nothing, line(20)) == 0.0
    assert edges_f1(nothing, nothing) == 1.0
    with pytest.raises(ValueError, match="one size"):
        edges_f1(line(20), line(20, side=32))


def test_edges_between_colours_of_one_lightness_are_found():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:] = (200, 60, 60), (60, 137, 60)
    assert edges_f1(find_edges(picture), line(32)) > 0.9
    assert not find_edges(np.full((64, 64, 3), 90, np.uint8)).any()


def test_differences_are_measured_outside_of_the_mask():
    first = np.full((8, 8, 3), 100, np.uint8)
    second = first.copy()
    second[:4] = 250
    second[6, 6] = 97
    inside = np.zeros((8, 8), bool)
    inside[:4] = True
    assert compare(first, second).largest == 150
    outside = compare(first, second, inside)
    assert (outside.largest, outside.mean) == (3, pytest.approx(3 / 32))
    with pytest.raises(ValueError, match="leave something"):
        compare(first, second, np.ones((8, 8), bool))
    with pytest.raises(ValueError, match="one size"):
        compare(first, first[:4])


def test_layouts_overlap_by_where_things_stand_and_not_by_their_colour():
    left, again, right = (
        render(plain_scene(1, "square", colour, ground, place=place), 128)
        for colour, ground, place in (("red", "white", "left"), ("blue", "yellow", "left"), ("red", "white", "right"))
    )
    assert layout_overlap(left, again) > 0.9
    assert layout_overlap(left, right) < 0.05
    assert layout_overlap(left, np.full_like(left, 200)) == 0.0


def test_a_sheet_frames_what_is_right_and_what_is_not():
    picture = np.full((50, 50, 3), 128, np.uint8)
    sheet = np.asarray(lay_out([Shown(picture, True), Shown(picture, False), Shown(picture, True)], columns=2, side=32))
    assert sheet.shape == (78, 78, 3) or sheet.shape[0] > 64
    colours = {tuple(int(part) for part in pixel) for pixel in sheet.reshape(-1, 3)}
    assert colours == {RIGHT, WRONG, (128, 128, 128), (255, 255, 255)}
    with pytest.raises(ValueError, match="at least one"):
        lay_out([])
