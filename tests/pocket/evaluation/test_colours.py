"""Colours have the names that people give them, and their share of a picture is measured pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from modules.pocket.evaluation.colours import NAMES, mask_colour, name_colour, name_pixels, presence
from modules.pocket.scenes.vocabulary import COLOURS


@pytest.mark.parametrize("name", NAMES)
def test_every_colour_of_the_vocabulary_keeps_its_name_when_it_is_a_little_off(name):
    lot = np.random.default_rng(1)
    for _ in range(20):
        assert name_colour(np.asarray(COLOURS[name]) + lot.integers(-12, 13, 3)) == name


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((255, 0, 0), "red"),
        ((150, 20, 24), "red"),
        ((0, 128, 0), "green"),
        ((0, 0, 255), "blue"),
        ((90, 60, 30), "brown"),
    ],
)
def test_other_shades_have_the_name_of_their_hue(colour, name):
    assert name_colour(np.asarray(colour, float)) == name


def test_presence_measures_area_and_the_largest_piece():
    picture = np.full((100, 100, 3), 248, np.uint8)
    picture[:20, :20] = COLOURS["cyan"]
    picture[50:80, 50:60] = COLOURS["cyan"]
    found = presence(picture, "cyan")
    assert found.share == pytest.approx(0.07)
    assert found.largest == pytest.approx(0.04)
    assert presence(picture, "white").share == pytest.approx(0.93)
    assert presence(picture, "red").share == presence(picture, "red").largest == 0


def test_a_shade_between_colours_shows_none_of_them():
    between = np.full((4, 4, 3), (175, 200, 60), np.uint8)
    assert all(presence(between, name).share == 0 for name in ("red", "blue", "purple", "pink"))
    assert (name_pixels(between, limit=1.0) == -1).all()


def test_an_unknown_colour_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'mauve'.*red.*white"):
        mask_colour(np.zeros((4, 4, 3), np.uint8), "mauve")
