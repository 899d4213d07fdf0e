"""The control stage: conditions show what they should, a ControlNet comes to follow one, and diffusers opens it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.pocket.scenes.vocabulary import KINDS
from modules.pocket.stages.base import denoising_loss, open_base
from modules.pocket.stages.conditions import CONDITIONS, GRID, colour_grid, palette
from modules.pocket.stages.control import Shown, build_control, export_control, to_condition, train_control
from modules.pocket.stages.samples import cover, world_sample
from modules.training.journal import Budget, load_checkpoint
from tests.factories.pocket_base import SIDE, scene_sample


def shown(kind, sample, seed=0):
    return CONDITIONS[kind](sample, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", CONDITIONS)
def test_conditions_follow_from_the_sample_and_chance(kind):
    for index in range(6):
        sample = world_sample(index, 128)
        first, again = shown(kind, sample), shown(kind, sample)
        assert first.shape == sample.picture.shape
        assert first.dtype == np.uint8
        assert (first == again).all()
        assert first.any()


@pytest.mark.parametrize("kind", ["canny", "scribble"])
def test_lines_run_where_the_edge_of_the_thing_is(kind):
    sample = scene_sample(0, 128)
    y, x = np.nonzero(shown(kind, sample)[..., 0] > 127)
    thing = sample.scene.things[0]
    away = np.abs(np.hypot(x / 128 - thing.x, y / 128 - thing.y) - thing.radius)
    assert len(x) > 60
    assert away.max() < 0.06
    assert np.hypot(x / 128 - thing.x, y / 128 - thing.y).std() < 0.03


def test_no_two_hands_scribble_alike():
    sample = scene_sample(0, 128)
    assert (shown("scribble", sample, 1) != shown("scribble", sample, 2)).any()


def test_a_map_has_the_colour_of_the_kind_where_the_thing_is():
    sample = scene_sample(1, 128)
    made = shown("segmentation", sample)
    inside = cover(sample.scene.things[0], 128) > 0.5
    assert (made[inside] == palette()["square"]).all()
    assert not made[~inside].any()
    colours = np.array([palette()[kind] for kind in KINDS], float)
    apart = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 1000 * np.eye(len(KINDS))
    assert apart.min() >= 12
    assert colours.sum(axis=1).min() > 100


def test_coarse_colours_are_the_means_of_cells():
    sample = scene_sample(0, 128)
    made = colour_grid(sample, np.random.default_rng(0))
    cell = 128 // GRID
    for row, column in ((0, 0), (4, 2), (3, 3)):
        window = (slice(row * cell, (row + 1) * cell), slice(column * cell, (column + 1) * cell))
        assert np.ptp(made[window].reshape(-1, 3), axis=0).max() == 0
        assert np.abs(made[window][0, 0] - sample.picture[window].reshape(-1, 3).mean(axis=0)).max() <= 1


def test_a_fresh_controlnet_changes_nothing(tiny_base):
    base = open_base(tiny_base)
    control = build_control(base.unet)
    noisy, words = torch.randn(1, 4, 8, 8), base.embed(["a cat"])
    with torch.no_grad():
        down, middle = control(noisy, 10, words, torch.rand(1, 3, SIDE, SIDE), return_dict=False)
    assert all(not each.any() for each in (*down, middle))


def test_it_comes_to_follow_the_condition_opens_and_draws(tiny_base, tuning, tmp_path):
    train_control(tmp_path, Budget(5), 300, "segmentation", replace(tuning, max_steps=60, batch=6, pace=4))
    base = open_base(tiny_base)
    target = tmp_path / "controlnet" / "segmentation"
    size = export_control(tmp_path, target, "segmentation", tiny_base)
    assert size < 2 * sum(
        value.nbytes for value in load_checkpoint(tmp_path / "control-segmentation.pt")["model"].values()
    )
    assert json.loads((target / "palette.json").read_text())["square"] == list(palette()["square"])

    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    control = ControlNetModel.from_pretrained(str(target), local_files_only=True).eval()
    samples = [scene_sample(index, SIDE) for index in range(2)]
    maps = to_condition(np.stack([Shown("segmentation")(each, np.random.default_rng(0)) for each in samples]), "cpu")
    clean = base.encode(np.stack([each.picture for each in samples]))
    words = base.embed([each.text for each in samples])

    def loss(condition):
        def guess(noisy, times):
            down, middle = control(noisy, times, words, condition, return_dict=False)
            return base.unet(
                noisy, times, words, down_block_additional_residuals=down, mid_block_additional_residual=middle
            ).sample

        with torch.no_grad():
            torch.manual_seed(1)
            lot = np.random.default_rng(1)
            return sum(denoising_loss(base, clean, guess, lot).item() for _ in range(8))

    assert loss(maps) < 0.9 * loss(maps.flip(0))

    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        str(tiny_base), controlnet=control, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    first, second = (
        pipeline(
            "a cat", image=each[None], num_inference_steps=2, output_type="np", generator=torch.manual_seed(3)
        ).images
        for each in maps
    )
    assert first.shape == (1, SIDE, SIDE, 3)
    assert np.abs(first - second).max() > 0.01


def test_it_goes_on_where_it_stopped(tuning, tmp_path):
    train_control(tmp_path, Budget(1), 60, "canny", replace(tuning, batch=2))
    assert train_control(tmp_path, Budget(1), 60, "canny", replace(tuning, batch=2))["step"] == 4


def test_unknown_conditions_are_named(tuning, tmp_path):
    for call in (
        lambda: train_control(tmp_path, Budget(1), 60, "pose", tuning),
        lambda: export_control(tmp_path, tmp_path / "out", "pose", tuning.base),
    ):
        with pytest.raises(ValueError, match="canny, scribble, segmentation"):
            call()
    with pytest.raises(FileNotFoundError, match="control-canny"):
        export_control(tmp_path, tmp_path / "out", "canny", tuning.base)
