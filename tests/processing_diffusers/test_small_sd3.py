"""A folder in SD 3's layout with latents of its own shape and without T5 is recognised, loaded and drawn with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.request import ImageParams
from modules.sd_models.detect import Recognised
from modules.sd_models.families import load_rules
from modules.sd_models.folders import inspect_folder
from modules.support.paths import ROOT
from tests.factories import models
from tests.processing_diffusers.conftest import ask, encode, make_engine, pixels, speckled


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A models folder with one such model."""
    place = tmp_path_factory.mktemp("small-sd3")
    models.tiny_sd3(place / "checkpoints" / "small", t5=False, channels=4)
    return place


@pytest.fixture(scope="module")
def bench(folder, tmp_path_factory):
    bench = make_engine(tmp_path_factory.mktemp("small-engine"), folder)
    yield bench
    bench.engine.close()


def test_it_is_told_by_its_layout_and_keeps_the_shape_of_its_latents(folder):
    outcome = inspect_folder(folder / "checkpoints" / "small", load_rules(ROOT / "configs" / "families.json"))
    assert isinstance(outcome, Recognised)
    assert (outcome.family, outcome.facts["latent_channels"]) == ("sd3", 4)


def test_the_engine_draws_what_the_bare_pipeline_draws(bench, folder, monkeypatch):
    from diffusers import StableDiffusion3Pipeline

    from modules.processing_diffusers.stages import prepare

    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    monkeypatch.setattr(prepare, "draw_noise", lambda pictures, plan: (noise, [torch.Generator()]))
    ours = bench.draw(ask("a red circle", model="small", seed=1, cfg=3.0)).pictures[0]
    plain = StableDiffusion3Pipeline.from_pretrained(
        str(folder / "checkpoints" / "small"),
        local_files_only=True,
        dtype=torch.float64,
        text_encoder_3=None,
        tokenizer_3=None,
    )
    plain.set_progress_bar_config(disable=True)
    theirs = plain(
        "a red circle",
        negative_prompt="blurry",
        latents=noise.double(),
        num_inference_steps=3,
        guidance_scale=3.0,
        height=64,
        width=64,
    ).images[0]
    assert abs(pixels(ours) - np.asarray(theirs, np.int16)).max() <= 1


def test_it_goes_on_from_a_picture(bench):
    given = speckled().resize((8, 8), Image.Resampling.BOX).resize((64, 64))
    drawn = [
        pixels(bench.draw(ask(model="small", steps=10, image=ImageParams((encode(given),), strength))).pictures[0])
        for strength in (0.0, 0.1, 0.9)
    ]
    near, far = (abs(picture - drawn[0]).mean() for picture in drawn[1:])
    assert 0 < near < far


def test_words_beyond_one_piece_are_read_where_t5_is_missing(bench):
    one, other = (bench.draw(ask("red " * 90 + word, model="small")) for word in ("circle", "square"))
    assert one.notes == other.notes == ()
    assert (pixels(one.pictures[0]) != pixels(other.pictures[0])).any()
