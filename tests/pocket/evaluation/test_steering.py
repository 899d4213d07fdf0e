"""Negative prompt, guidance, seed, start picture and size are measured by what they do to pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from modules.pocket.evaluation.drawing import Manner, Order
from modules.pocket.evaluation.questions import ask_grounds
from modules.pocket.evaluation.sources import start_aside
from modules.pocket.evaluation.steering import (
    measure_guidance,
    measure_large,
    measure_layout,
    measure_negative,
    measure_seeds,
)
from tests.pocket.evaluation.conftest import Painter

MANNER = Manner(size=96)


def values(finding):
    return {bar.name: bar.value for bar in finding.bars}


class Heedful(Painter):
    """Turns what is blue into red where blue is unwanted."""

    def paint(self, prompt, seed, order, number):
        picture = super().paint(prompt, seed, order, number).copy()
        if order.negative == "blue":
            picture[picture[..., 2] > picture[..., 0] + 60] = (214, 36, 40)
        return picture


class Weak(Painter):
    """Paints everything grey while guidance is low."""

    def paint(self, prompt, seed, order, number):
        picture = super().paint(prompt, seed, order, number)
        return picture if order.guidance > 1.5 else np.full_like(picture, 136)


class Redrawing(Painter):
    """Keeps the start picture below a strength, and then draws anew."""

    turn = 0.6

    def paint(self, prompt, seed, order, number):
        if order.images is not None and order.strength < self.turn:
            return order.images[number]
        return super().paint(prompt, seed, order, number)


def test_a_negative_prompt_is_measured_by_the_colour_that_it_takes_away(painter):
    heeded = measure_negative(Heedful(), 24, MANNER)
    assert heeded.met
    assert heeded.figures["before"] > 0.05
    assert heeded.figures["after"] < 0.01
    ignored = measure_negative(painter, 24, MANNER)
    assert values(ignored) == {"lowered": 0.0}
    assert not ignored.met
    assert not any("blue" in prompt for prompt in painter.orders[0].prompts)


def test_where_the_colour_never_was_nothing_is_said_of_the_negative_prompt():
    finding = measure_negative(lambda order: np.full((len(order.prompts), 64, 64, 3), 240, np.uint8), 4, MANNER)
    assert values(finding) == {"lowered": None}
    assert not finding.met


def test_guidance_has_to_raise_adherence(painter):
    risen = measure_guidance(Weak(), ask_grounds(8), MANNER, (1.0, 2.0, 3.0))
    assert risen.met
    assert risen.figures["adherence_at"]["1.0"] < 0.5
    assert risen.figures["adherence_at"]["3.0"] == 1.0
    assert not measure_guidance(painter, ask_grounds(8), MANNER, (1.0, 3.0)).met


def test_seeds_have_to_differ_and_to_repeat(painter):
    assert measure_seeds(painter, "a red star on a white background", 4, MANNER).met
    same = measure_seeds(lambda order: np.full((len(order.prompts), 64, 64, 3), 9, np.uint8), "a star", 4, MANNER)
    assert values(same) == {"least_apart": 0.0, "same_seed_differs": 0.0}
    assert not same.met
    lot = np.random.default_rng(0)
    fickle = measure_seeds(
        lambda order: lot.integers(0, 255, (len(order.prompts), 64, 64, 3)).astype(np.uint8), "a star", 4, MANNER
    )
    assert values(fickle)["least_apart"] > 10
    assert not fickle.met


@pytest.mark.parametrize(("turn", "kept", "lost"), [(0.6, True, True), (0.0, False, True), (1.0, True, False)])
def test_a_start_picture_is_to_be_kept_at_low_strength_and_lost_at_high(turn, kept, lost):
    painter = Redrawing()
    painter.turn = turn
    low, high = measure_layout(painter, start_aside(ask_grounds(6), 128), MANNER).bars
    assert (low.met, high.met) == (kept, lost)


def test_large_pictures_have_to_show_one_thing(painter):
    assert measure_large(painter, ask_grounds(4), MANNER, size=192).met

    def repeat(order: Order):
        small = painter(order)[:, ::2, ::2]
        return np.stack([np.tile(picture, (2, 2, 1)) for picture in small])

    finding = measure_large(repeat, ask_grounds(4), MANNER, size=192)
    assert values(finding) == {"one_thing": 0.0}
    assert finding.shown[0].picture.shape == (192, 192, 3)
    assert cv2.countNonZero(finding.shown[0].picture[..., 0]) > 0
