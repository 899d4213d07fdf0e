"""Which scenes and which noise diffusion training shows most."""

from __future__ import annotations

import numpy as np

from modules.pocket.scenes.lot import draw_scene
from modules.pocket.stages.focus import draw_rows
from modules.pocket.stages.pictures import SEED
from modules.pocket.stages.unet import OUTLINE_SHARE, OUTLINES, STEPS, draw_times

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
