"""Kolors draws as its own pipeline does, and what is done inside SDXL's UNet is done in its one, too."""

from __future__ import annotations

import pytest
import torch
from diffusers import KolorsPipeline

from modules.contracts.plan import SamplerPlan
from modules.contracts.request import AttentionParams, CanvasParams, FeatureParams, SamplingParams
from modules.sd_samplers.build import build_scheduler
from tests.factories.kolors import tiny_kolors
from tests.processing_diffusers.conftest import CLOSE, ask, make_engine

SIDE = 128


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    models = tmp_path_factory.mktemp("kolors-models")
    tiny_kolors(models / "checkpoints" / "kolors")
    bench = make_engine(tmp_path_factory.mktemp("kolors-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of a picture of three steps."""
    return lambda **wishes: exact(studio.draw(ask(model="kolors", steps=3, size=SIDE, **wishes)))


def test_the_library_draws_the_same(studio, draw):
    pipeline = KolorsPipeline.from_pretrained(studio.paths.models / "checkpoints" / "kolors", dtype=torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.scheduler.config.num_train_timesteps == 1100
    plan = SamplerPlan("Euler", "Automatic", 3, None)
    pipeline.scheduler = build_scheduler(plan, pipeline.scheduler.config, flow=False)
    noise = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=torch.Generator("cpu").manual_seed(1)).double()
    theirs = pipeline(
        "a red circle",
        negative_prompt="blurry",
        width=SIDE,
        height=SIDE,
        num_inference_steps=3,
        guidance_scale=5.0,
        latents=noise,
        output_type="pt",
    ).images[0]
    assert float((draw() - theirs).abs().max()) < CLOSE


@pytest.mark.parametrize(
    "wish",
    [
        {"sampling": SamplingParams(steps=3, sampler="Euler", cfg_scale=5.0, cfg_rescale=0.7)},
        {"attention": AttentionParams(pag_scale=3.0)},
        {"features": FeatureParams(freeu_b1=1.3, freeu_s1=0.8)},
        {"features": FeatureParams(token_merging=0.5)},
        {"features": FeatureParams(hypertile=64)},
        {"canvas": CanvasParams(SIDE, SIDE, tiling=True)},
    ],
    ids=str,
)
def test_what_its_row_claims_changes_the_picture(draw, wish):
    assert float((draw(**wish) - draw()).abs().max()) > CLOSE
