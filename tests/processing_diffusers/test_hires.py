"""The second pass: sizes, upscalers, steps and words of its own."""

from __future__ import annotations

import pytest

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.events import StageStarted, StepDone
from modules.contracts.request import HiresParams
from modules.upscalers.table import UPSCALERS
from tests.processing_diffusers.conftest import ask, pixels


def hires(**changes):
    return HiresParams(**{"enabled": True, "scale": 1.5, "steps": 2, "denoising_strength": 0.5, **changes})


@pytest.mark.parametrize("upscaler", [entry.name for entry in UPSCALERS])
def test_every_upscaler_gives_the_final_size(bench, upscaler):
    picture = bench.draw(ask(steps=2, hires=hires(upscaler=upscaler))).pictures[0]
    assert picture.image.size == (96, 96)


@pytest.mark.parametrize(
    ("wish", "size"),
    [
        ({"scale": 2.0}, (128, 128)),
        ({"resize_width": 80}, (80, 80)),
        ({"resize_height": 104}, (104, 104)),
        ({"resize_width": 96, "resize_height": 128}, (96, 128)),
    ],
)
@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_the_size_follows_factor_or_sides(bench, wish, size, upscaler):
    picture = bench.draw(ask(steps=2, hires=hires(upscaler=upscaler, **wish))).pictures[0]
    assert picture.image.size == size


def test_all_hires_steps_are_run_whatever_the_strength(bench):
    bench.draw(ask(steps=3, hires=hires(steps=4, denoising_strength=0.3)))
    steps = [(event.step, event.steps) for event in bench.events if isinstance(event, StepDone)]
    assert steps == [(step, 7) for step in range(1, 8)]
    assert "hires" in [event.stage for event in bench.events if isinstance(event, StageStarted)]


def test_without_steps_of_its_own_it_takes_those_of_the_first_pass(bench):
    bench.draw(ask(steps=3, hires=hires(steps=0)))
    assert sum(isinstance(event, StepDone) for event in bench.events) == 6


def test_words_sampler_and_strength_of_its_own_change_the_picture(bench):
    plain = pixels(bench.draw(ask(hires=hires())).pictures[0])
    for change in (
        {"prompt": "a blue square"},
        {"negative": "sharp"},
        {"sampler": "DDIM"},
        {"denoising_strength": 0.9},
    ):
        assert (pixels(bench.draw(ask(hires=hires(**change))).pictures[0]) != plain).any(), change


def test_a_picture_of_a_hires_batch_is_the_one_drawn_alone(bench):
    batch = bench.draw(ask(batch=2, hires=hires(upscaler="Lanczos"))).pictures
    alone = bench.draw(ask(seed=2, hires=hires(upscaler="Lanczos"))).pictures[0]
    assert abs(pixels(batch[1]) - pixels(alone)).max() <= 1


def test_a_first_pass_kept_whole_comes_back_larger(bench):
    """With no strength the second pass only enlarges."""
    small = pixels(bench.draw(ask()).pictures[0])
    large = pixels(bench.draw(ask(hires=hires(scale=2.0, upscaler="Nearest", denoising_strength=0.0))).pictures[0])
    other = pixels(bench.draw(ask(seed=9)).pictures[0])
    shrunk = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert abs(shrunk.mean() - small.mean()) <= abs(other.mean() - small.mean()) + 20


def test_what_cannot_be_done_is_said(bench):
    with pytest.raises(InvalidRequest, match="upscaler 'SwinIR'"):
        bench.draw(ask(hires=hires(upscaler="SwinIR")))
    with pytest.raises(UnsupportedFeature, match="same checkpoint"):
        bench.draw(ask(hires=hires(checkpoint="another")))
