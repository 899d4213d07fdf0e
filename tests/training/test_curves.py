"""Curves show what the log says: where it lies, how it falls, on a scale that suits it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modules.training.curves import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    SMOOTH,
    TOP,
    WIDTH,
    Axis,
    draw_curves,
    is_logarithmic,
    read_log,
    save_curves,
    smooth,
)


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def height_at(image, share):
    """The middle of the smoothed curve at a share of the way across, in pixels from the top of its panel."""
    x = round(LEFT + share * (WIDTH - RIGHT - LEFT))
    column = np.asarray(image)[:, x]
    return float(np.flatnonzero((column == SMOOTH).all(axis=1)).mean())


def test_a_line_runs_from_corner_to_corner():
    image = draw_curves([{"step": step, "loss": 1.0 + step / 100} for step in range(101)])
    assert image.size == (WIDTH, HEIGHT)
    low, middle, high = (height_at(image, share) for share in (0.02, 0.5, 0.98))
    assert HEIGHT - BOTTOM > low > middle > high > TOP
    assert middle == pytest.approx((TOP + HEIGHT - BOTTOM) / 2, abs=6)


def test_a_decay_over_decades_is_a_line_on_the_logarithmic_scale():
    image = draw_curves([{"step": step, "loss": 10 ** (-step / 200)} for step in range(1001)])
    heights = [height_at(image, share) for share in (0.1, 0.5, 0.9)]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2, abs=4)


def test_the_logarithmic_scale_is_for_wide_positive_values_only():
    assert is_logarithmic([0.1, 3.0])
    assert not is_logarithmic([1.0, 3.0])
    assert not is_logarithmic([0.0, 3.0])
    assert not is_logarithmic([-1.0, 30.0])


def test_each_figure_has_its_panel_and_what_is_not_finite_is_left_out():
    rows = [{"step": step, "seconds": 2.0, "loss": float(step), "kl": float("nan")} for step in range(5)]
    assert draw_curves(rows).size == (WIDTH, HEIGHT)
    rows[2]["kl"] = 0.5
    assert draw_curves(rows).size == (WIDTH, 2 * HEIGHT)
    counted = [{**row, "pictures_128": 5.0, "loss_now": 1.0} for row in rows]
    assert draw_curves(counted).size == (WIDTH, 2 * HEIGHT)  # what counts has no panel, and the loss has one
    with pytest.raises(ValueError, match="no figures"):
        draw_curves([{"step": 1.0}])


def test_ticks_are_round_and_within():
    assert Axis(0.03, 1.02, 0, 100).ticks() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis(0.02, 5.0, 0, 100, logarithmic=True).ticks() == pytest.approx([0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5])
    assert Axis(1e-4, 1.0, 0, 100, logarithmic=True).ticks() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])


def test_smoothing_takes_the_noise_and_keeps_the_level():
    lot = np.random.default_rng(0)
    noisy = list(3.0 + lot.normal(size=1000))
    calm = smooth(noisy)
    assert calm[0] == pytest.approx(noisy[0])
    assert smooth([1.0, 2.0, 3.0, 4.0]) == pytest.approx([1, 2, 3, 4])
    assert np.std(calm[200:]) < 0.3
    assert np.mean(calm) == pytest.approx(3.0, abs=0.2)


def test_steps_gone_through_twice_count_as_the_last_time(tmp_path):
    log = write(tmp_path / "x.jsonl", [{"step": 25, "loss": 5}, {"step": 50, "loss": 4}, {"step": 50, "loss": 3}])
    with log.open("a") as file:
        file.write('{"step": 75, "lo')
    assert [row["loss"] for row in read_log(log)] == [5, 3]


def test_curves_are_saved_once_there_are_figures(tmp_path):
    log, target = tmp_path / "x.jsonl", tmp_path / "x.png"
    assert not save_curves(log, target)
    write(log, [{"step": 1, "seconds": 3.0}])
    assert not save_curves(log, target)
    write(log, [{"step": 1, "loss": 3.0}])
    assert save_curves(log, target)
    assert target.exists()
    assert not target.with_suffix(".part").exists()
