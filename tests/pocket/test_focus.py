"""Which scenes and which noise diffusion training shows most."""

from __future__ import annotations

import numpy as np

from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.vocabulary import OBJECTS
from modules.pocket.stages.focus import draw_rows, draw_windows
from modules.pocket.stages.pictures import SEED
from modules.pocket.stages.unet import CLOSE_TIMES, OUTLINE_SHARE, OUTLINES, STEPS, draw_close_times, draw_times

SCENES = 600


def share(rows, says):
    return float(np.mean([says(draw_scene(SEED, int(row))) for row in rows]))


def test_plain_scenes_come_often_and_no_scene_is_left_out():
    rows = draw_rows(np.random.default_rng(1), SCENES, 1_000_000)
    assert set(rows.tolist()) == set(range(SCENES))
    seen, there = rows[:4000], range(SCENES)
    for says in (
        lambda scene: scene.style == "flat",
        lambda scene: scene.ground.kind == "plain",
        lambda scene: len(scene.things) == 1,
        lambda scene: scene.things[0].kind in ("star", "cross"),
    ):
        assert share(seen, says) > share(there, says) + 0.05
    assert share(seen, lambda scene: scene.size == "small") < share(there, lambda scene: scene.size == "small")


def test_only_scenes_that_are_done_are_drawn():
    rows = draw_rows(np.random.default_rng(2), 5, 400)
    assert set(rows.tolist()) == {0, 1, 2, 3, 4}


def test_equal_chance_draws_equal_rows():
    first, second = (draw_rows(np.random.default_rng(3), SCENES, 50) for _ in range(2))
    assert np.array_equal(first, second)


def test_times_dwell_where_outlines_are_decided_and_reach_everywhere():
    lot = np.random.default_rng(4)
    times = np.concatenate([draw_times(lot, 64).numpy() for _ in range(50)])
    inside = (times >= OUTLINES[0]) & (times < OUTLINES[1])
    assert inside.mean() > OUTLINE_SHARE
    assert times.min() >= 0
    assert times.min() < 20
    assert STEPS - 20 < times.max() < STEPS
    assert len(draw_times(lot, 1)) == 1


def test_close_ups_hold_the_whole_of_a_scenes_only_thing():
    lot = np.random.default_rng(5)
    rows = draw_rows(lot, SCENES, 2000, close=True)
    corners = draw_windows(lot, rows, SCENES, 32, 16)
    assert corners.shape == (2000, 2)
    assert corners.min() >= 0
    assert corners.max() <= 32 - 16
    cut = []
    for row, (top, left) in zip(rows.tolist(), corners.tolist(), strict=True):
        (thing,) = draw_scene(SEED, row).things
        for centre, first in ((thing.y, top), (thing.x, left)):
            low, high = (centre - thing.radius) * 32, (centre + thing.radius) * 32
            cut.append(max(first - low, high - (first + 16), 0.0))
    assert max(cut) < 2.5  # cells, of 12 to 16 that a thing of middle size has
    assert np.mean(np.array(cut) < 0.5) > 0.75
    assert len({tuple(corner) for corner in corners.tolist()}) > 20
    assert share(rows, lambda scene: scene.things[0].kind in OBJECTS) > 0.6


def test_close_ups_are_seen_with_no_more_noise_than_shows_what_they_are():
    times = draw_close_times(np.random.default_rng(6), 400).numpy()
    assert CLOSE_TIMES[0] <= times.min() < CLOSE_TIMES[0] + 5
    assert CLOSE_TIMES[1] - 5 < times.max() < CLOSE_TIMES[1]
