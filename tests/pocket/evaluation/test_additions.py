"""Inpainting, ControlNets and what adapters have learned are measured where they act, and told from doing nothing."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from modules.pocket.evaluation.drawing import Manner
from modules.pocket.evaluation.guided import measure_colours, measure_control, trace_edges
from modules.pocket.evaluation.known import PALETTES, SUBJECTS, TRACES, open_learned
from modules.pocket.evaluation.learned import Learned, Presence, measure_learned
from modules.pocket.evaluation.painting import measure_inpainting
from modules.pocket.evaluation.questions import ask_grounds
from modules.pocket.evaluation.sources import start_hidden
from modules.pocket.scenes.lot import plain_scene
from modules.pocket.scenes.render import render
from tests.pocket.evaluation.conftest import Painter

MANNER = Manner(size=96)


def values(finding):
    return {bar.name: bar.value for bar in finding.bars}


class Filling(Painter):
    """Paints what was asked for into the mask; `spill` is added to everything outside, `lazy` paints nothing."""

    spill, lazy = 0, False

    def paint(self, prompt, seed, order, number):
        old, mask = order.images[number].copy(), order.masks[number] > 0
        ground = old[0, 0].copy()
        picture = np.clip(old.astype(int) + self.spill, 0, 255).astype(np.uint8)
        if self.lazy:
            return picture
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        words = self.read(prompt, seed)
        side = 4 * (min(len(rows), len(columns)) // 4)
        fresh = cv2.resize(render(plain_scene(seed, **words), 256)[32:224, 32:224], (side, side))
        picture[mask] = ground
        picture[rows[0] : rows[0] + side, columns[0] : columns[0] + side] = fresh
        return picture


class Colouring(Painter):
    """Paints the grid itself, or a grey nothing at weight 0; deaf ones are grey always."""

    deaf = False

    def paint(self, prompt, seed, order, number):
        painted = order.weight > 0.5 and not self.deaf
        return order.images[number] if painted else np.full_like(order.images[number], 128)


class Tracing(Painter):
    """Draws the edges that it is given, thick and in the right places, as far as the weight goes."""

    def paint(self, prompt, seed, order, number):
        picture = np.full_like(order.images[number], 250)
        if order.weight > 0.5:
            edges = cv2.morphologyEx(order.images[number][..., 0], cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
            outlines, _ = cv2.findContours(edges, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, outlines, -1, (20, 20, 200), -1)
        return picture


def test_inpainting_is_judged_inside_and_outside_of_the_mask():
    starts = start_hidden(ask_grounds(8), 128)
    filling = Filling()
    finding = measure_inpainting(filling, starts, MANNER, overlaid=True)
    assert values(finding)["outside_largest"] == 0
    assert values(finding)["appears"] >= 0.85
    filling.spill = 8
    assert not {bar.name: bar.met for bar in measure_inpainting(filling, starts, MANNER, overlaid=True).bars}[
        "outside_largest"
    ]
    assert values(measure_inpainting(filling, starts, MANNER))["outside_mean"] == pytest.approx(8, abs=3)
    filling.lazy = True
    assert values(measure_inpainting(filling, starts, MANNER))["appears"] == 0.0


def test_masks_hide_the_thing_and_the_question_is_about_another_one():
    for start in start_hidden(ask_grounds(8), 128):
        hidden = np.where(start.mask[..., None] > 0, start.picture[0, 0], start.picture)
        assert np.abs(hidden.astype(int) - start.picture[0, 0]).max() <= 2
        assert 0.05 < (start.mask > 0).mean() < 0.7


def test_edges_of_a_controlled_picture_are_held_against_those_given(painter):
    rows = trace_edges(ask_grounds(6), 128)
    finding = measure_control(Tracing(), "canny", rows, MANNER)
    assert finding.met
    assert finding.figures["edges_f1_at_weight_0"] == 0.0
    unled = measure_control(lambda order: painter(replace(order, seeds=order.seeds[::-1])), "canny", rows, MANNER)
    assert not unled.met or values(unled)["edges_f1"] < values(finding)["edges_f1"]


@pytest.mark.parametrize("name", sorted(TRACES))
def test_every_kind_of_hint_is_made_of_the_picture_that_shows_what_is_asked(name):
    (row,) = TRACES[name](ask_grounds(1), 96)
    assert row.hint.shape == row.picture.shape == (96, 96, 3)
    assert 0 < (row.hint > 0).mean() < 0.6


@pytest.mark.parametrize("name", sorted(SUBJECTS))
def test_what_an_adapter_learned_is_told_from_what_the_world_has(name):
    learned = open_learned(name)
    presence = Presence(list(learned.shown[::2]), list(learned.unshown[::2]))
    with_it = [presence.measure(picture) for picture in learned.shown[1::2]]
    without = [presence.measure(picture) for picture in learned.unshown[1::2]]
    assert np.mean(with_it) >= 0.7
    assert np.mean(without) <= 0.3
    assert len(set(learned.prompts)) > 3


def test_presence_has_to_rise_with_the_weight():
    lot = np.random.default_rng(0)
    unshown = np.stack([render(plain_scene(seed, "circle", "red", "white"), 64) for seed in range(8)])
    shown = np.where(lot.random((8, 64, 64, 1)) < 0.3, 0, unshown).astype(np.uint8)
    learned = Learned("dots", ("a red circle on a white background",) * 4, shown, unshown)

    def blend(order):
        share = order.weight if order.adapter == "dots" else 0.0
        return np.stack([np.where(lot.random((64, 64, 1)) < 0.3 * share, 0, unshown[seed % 8]) for seed in order.seeds])

    rising = measure_learned(blend, learned, MANNER)
    assert rising.met, rising.as_json()
    stuck = measure_learned(lambda order: blend(replace(order, weight=1.0)), learned, MANNER)
    assert {bar.name: bar.met for bar in stuck.bars} == {
        "presence_at_1": True,
        "presence_at_0": False,
        "least_step": False,
    }


def test_examples_that_show_no_difference_are_refused():
    same = [np.full((64, 64, 3), 200, np.uint8)] * 4
    with pytest.raises(ValueError, match="do not differ"):
        Presence(same, same)
    with pytest.raises(ValueError, match="four examples"):
        Presence(same, same[:2])


def test_colours_are_followed_or_not():
    rows = PALETTES["colour"](ask_grounds(3), 96)
    painter = Colouring()
    found = measure_colours(painter, "colour", rows, MANNER)
    assert found.met
    assert values(found) == {"distance": 0.0}
    assert found.figures["distance_at_weight_0"] > 20
    painter.deaf = True
    deaf = measure_colours(painter, "colour", rows, MANNER)
    assert not deaf.met
    assert values(deaf)["distance"] == pytest.approx(found.figures["distance_at_weight_0"], abs=1e-4)
