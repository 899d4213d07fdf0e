"""The four-step version: where it stands, what a step leads to, what it learns, and how it leaves."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.contracts.request import SamplingParams
from modules.pocket.stages import turbo
from modules.pocket.stages.base import open_base
from modules.pocket.stages.tuning import Tuning
from modules.pocket.stages.turbo import TextBatches, Way, export_turbo, guess_of, guided, lead, stops, train_turbo
from modules.training.journal import Budget, load_checkpoint

TEXTS = ("a cat on the white background", "a dog")
TIMES = [999, 749, 499, 249, -1]


def say(number):
    return TEXTS[number % 2]


@pytest.fixture(scope="module")
def base(tiny_base):
    return open_base(tiny_base)


@pytest.fixture(scope="module")
def work(tiny_base, tmp_path_factory):
    """The folder after a training long enough to see what is learned."""
    folder = tmp_path_factory.mktemp("turbo")
    train_turbo(folder, Budget(5), 600, Tuning(base=tiny_base, batch=16, max_steps=60, pace=3), say)
    return folder


def noise_of(count):
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(4))


def student(base, folder):
    unet = open_base(base.folder).unet
    unet.load_state_dict(load_checkpoint(folder / "turbo.pt")["average"])
    return unet


def test_it_stands_where_the_scheduler_of_the_exported_model_stands():
    from diffusers import DDIMScheduler

    for steps in (4, 20):
        scheduler = DDIMScheduler(timestep_spacing="trailing", steps_offset=1)
        scheduler.set_timesteps(steps)
        assert stops(1000, steps) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("velocity", [True, False])
def test_what_is_to_be_said_leads_to_the_end_in_one_step(base, velocity):
    way = Way(replace(base, velocity=velocity))
    start, end = noise_of(2), noise_of(4)[2:]
    for here, there in itertools.pairwise(TIMES):
        said = way.answer(start, end, here, there)
        assert torch.allclose(way.step(said, start, here, there), end, atol=1e-4)


def test_a_step_is_that_of_the_ordinary_sampler(base):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_pretrained(str(base.folder), subfolder="scheduler")
    scheduler.set_timesteps(4)
    said, latents = noise_of(4).split(2)
    theirs = scheduler.step(said, 749, latents).prev_sample
    assert torch.allclose(Way(base).step(said, latents, 749, 499), theirs, atol=1e-5)


@torch.no_grad()
def test_stretches_begin_where_the_teacher_or_the_student_comes_and_end_where_the_teacher_leads(base):
    words, empty, noise = base.embed(list(TEXTS)), base.embed([""]), noise_of(2)
    teacher, own, way = guided(base, words, empty, 3.0), guess_of(base, base.unet, words), Way(base)
    starts, answers, moments = lead(way, teacher, None, noise, TIMES)
    assert moments.tolist() == [999, 999, 749, 749, 499, 499, 249, 249]
    ended = way.step(answers[6:], starts[6:], 249, -1)
    whole = way.walk(teacher, noise, [*stops(1000, 20), -1])
    assert torch.allclose(ended, whole, atol=0.02)
    mine, _answers, _moments = lead(way, teacher, own, noise, TIMES)
    assert torch.equal(mine[:2], noise)
    assert torch.allclose(mine[6:], way.walk(own, noise, TIMES[:-1]), atol=1e-4)
    assert not torch.allclose(mine[6:], starts[6:], atol=0.01)


@torch.no_grad()
def test_four_steps_without_guidance_reach_what_the_teacher_reaches_in_twenty_with_it(base, work):
    words, empty, noise, way = base.embed(list(TEXTS)), base.embed([""]), noise_of(2), Way(base)
    wanted = way.walk(guided(base, words, empty, turbo.GUIDANCE), noise, [*stops(1000, 20), -1])
    taught = way.walk(guess_of(base, student(base, work), words), noise, TIMES)
    naive = way.walk(guess_of(base, base.unet, words), noise, TIMES)
    assert (taught - wanted).square().mean() < 0.5 * (naive - wanted).square().mean()


def test_batches_are_the_same_for_one_number_and_as_large_at_every_side():
    make = TextBatches(say, (64, 128), 8, 100)
    (texts, side), (larger, width) = make(2), make(3)
    assert (texts.tolist(), side.tolist()) == (make(2)[0].tolist(), [64])
    assert (len(texts), len(larger), width.tolist()) == (8, 2, [128])
    assert set(texts) <= {*TEXTS, ""}
    assert turbo.say_scene(5) == turbo.say_scene(5) != turbo.say_scene(6)


def test_it_goes_on_and_leaves_as_a_model_that_diffusers_and_the_studio_draw_alike(base, tmp_path, monkeypatch):
    from diffusers import StableDiffusionPipeline

    from modules.processing_diffusers.stages import prepare
    from tests.processing_diffusers.conftest import ask, make_engine, pixels

    how = Tuning(base=base.folder, batch=8, max_steps=1)
    train_turbo(tmp_path, Budget(1), 60, how, say)
    assert train_turbo(tmp_path, Budget(1), 60, how, say)["step"] == 2
    target = tmp_path / "models" / "checkpoints" / "tiny-turbo"
    size = export_turbo(tmp_path, target, base.folder)
    assert size == sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    assert json.loads((target / "defaults.json").read_text()) == turbo.DEFAULTS
    assert "2 steps" in (target / "README.md").read_text()

    bench = make_engine(tmp_path / "engine", tmp_path / "models")
    noise = noise_of(1)
    monkeypatch.setattr(prepare, "draw_noise", lambda pictures, plan: (noise, [torch.Generator()]))
    result = bench.draw(ask(TEXTS[0], model="tiny-turbo", sampling=SamplingParams(steps=4)))
    bench.engine.close()
    plain = StableDiffusionPipeline.from_pretrained(str(target), local_files_only=True, dtype=torch.float64)
    plain.set_progress_bar_config(disable=True)
    theirs = plain(
        TEXTS[0], latents=noise.double(), num_inference_steps=4, guidance_scale=1.0, height=64, width=64
    ).images[0]
    assert abs(pixels(result.pictures[0]) - np.asarray(theirs, np.int16)).max() <= 1
