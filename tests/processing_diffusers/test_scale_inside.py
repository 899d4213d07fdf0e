"""UNets that embed the CFG scale: one row a picture, and each picture's own scale."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.plan import SamplerPlan
from modules.sd_models.dimensions import unet_diffusers
from modules.sd_samplers.build import build_scheduler
from tests.factories import models, parts
from tests.processing_diffusers.conftest import CLOSE, ask, held_back, in_threads, make_engine

BUILDERS = {"sd15": models.tiny_sd15, "sdxl": models.tiny_sdxl}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    from diffusers import UNet2DConditionModel

    home = tmp_path_factory.mktemp("scale-models")
    for name, build in BUILDERS.items():
        folder = build(home / "checkpoints" / name)
        config = UNet2DConditionModel.load_config(folder / "unet")
        with parts.seeded(31):
            UNet2DConditionModel.from_config({**config, "time_cond_proj_dim": 32}).save_pretrained(folder / "unet")
    bench = make_engine(tmp_path_factory.mktemp("scale-engine"), home)
    yield bench
    bench.engine.close()


@pytest.mark.parametrize("name", BUILDERS)
def test_the_library_draws_the_same(studio, exact, name):
    from diffusers import DiffusionPipeline

    folder = studio.paths.models / "checkpoints" / name
    pipeline = DiffusionPipeline.from_pretrained(folder).to(torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = build_scheduler(
        SamplerPlan("Euler", "Uniform", 3, None), pipeline.scheduler.config, flow=False
    )
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator("cpu").manual_seed(1)).double()
    theirs = pipeline(
        "a red circle",
        width=64,
        height=64,
        num_inference_steps=3,
        guidance_scale=7.5,
        latents=noise,
        output_type="pt",
    ).images[0]
    ours = exact(studio.draw(ask(model=name, cfg=7.5)))
    assert float((ours - theirs).abs().max()) < CLOSE


@pytest.mark.parametrize("name", BUILDERS)
def test_each_picture_has_its_own_scale_in_one_row(studio, exact, rows, name):
    requests = [ask(model=name, cfg=cfg, seed=2) for cfg in (1.0, 4.0, 8.0)]
    alone = [exact(studio.draw(request)) for request in requests]
    assert set(rows) == {1}
    assert min(float((alone[place] - alone[place - 1]).abs().max()) for place in range(3)) > 1e-4
    with held_back(studio.engine.multiplexer, {"unet"}, 3):
        together = in_threads([lambda r=request: studio.draw(r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)


def test_a_negative_prompt_is_left_out_with_a_note(studio):
    notes = studio.draw(ask(model="sd15", steps=1)).notes
    assert any("takes the CFG scale as an input and no negative prompt" in note for note in notes)


def test_the_input_is_read_off_the_shapes():
    with torch.device("meta"):
        model = parts.unet(models.SD_CHANNELS, 768, sample_size=8, time_cond_proj_dim=256)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert unet_diffusers(shapes)["time_cond_proj_dim"] == 256
