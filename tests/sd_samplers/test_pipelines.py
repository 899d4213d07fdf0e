"""The schedulers inside diffusers' own pipelines, called as anybody would call them."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from PIL import Image

from modules.contracts.plan import SamplerPlan
from modules.sd_samplers.build import build_scheduler, shipped_table
from tests.sd_samplers.analytic import seeds

TABLE = shipped_table()
SAMPLERS = [row.name for row in TABLE.rows()]
FLOW_SAMPLERS = [row.name for row in TABLE.rows() if row.flow]
# Of diffusers: a pipeline taken apart into another one warns of what it does not use.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def pipelines(tiny_sd15_folder, tiny_sdxl_folder, tiny_sd3_folder, tiny_flux_folder):
    """A function that gives a pipeline of that family and class, weights loaded once."""
    folders = {"sd": tiny_sd15_folder, "sdxl": tiny_sdxl_folder, "sd3": tiny_sd3_folder, "flux": tiny_flux_folder}
    loaded: dict[str, Any] = {}

    def get(family: str, name: str) -> Any:
        cls = getattr(importlib.import_module("diffusers"), name)
        if family not in loaded:
            loaded[family] = cls.from_pretrained(folders[family], local_files_only=True)
        made = loaded[family] if type(loaded[family]) is cls else cls(**loaded[family].components)
        made.set_progress_bar_config(disable=True)
        return made

    return get


def draw(
    pipeline: Any, sampler: str, schedule: str, *, steps: int = 3, flow: bool = False, seed: Any = (1,), **named: Any
):
    """Latents that the pipeline ends with; one generator a picture, bound as well since flow loops pass none."""
    pipeline.scheduler = build_scheduler(
        SamplerPlan(sampler, schedule, steps, None), pipeline.scheduler.config, flow=flow
    )
    generators = seeds(*seed)
    pipeline.scheduler.bind_generators(generators)
    if "image" not in named:
        named |= {"height": 64, "width": 64}
    found = pipeline(
        ["a cat", "a dog", "a house"][: len(seed)],
        num_inference_steps=steps,
        generator=generators,
        output_type="latent",
        return_dict=False,
        **named,
    )[0]
    assert torch.isfinite(found).all()
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_text_to_image(pipelines, sampler):
    pipeline = pipelines("sd", "StableDiffusionPipeline")
    assert draw(pipeline, sampler, "Automatic").shape == (1, 4, 8, 8)
    assert pipeline.scheduler.step_index == len(pipeline.scheduler.timesteps)


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "Heun", "HeunPP2", "PLMS", "UniPC", "DPM++ SDE"])
def test_image_to_image(pipelines, sampler):
    pipeline = pipelines("sd", "StableDiffusionImg2ImgPipeline")
    picture = Image.new("RGB", (64, 64), "red")
    draw(pipeline, sampler, "Karras", steps=5, image=picture, strength=0.6)
    assert pipeline.scheduler.step_index == len(pipeline.scheduler.timesteps)


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE", "UniPC"])
def test_inpainting(pipelines, sampler):
    pipeline = pipelines("sd", "StableDiffusionInpaintPipeline")
    named = {"image": Image.new("RGB", (64, 64), "red"), "mask_image": Image.new("L", (64, 64), 255), "strength": 0.8}
    assert draw(pipeline, sampler, "Karras", **named, height=64, width=64).shape == (1, 4, 8, 8)


def test_sdxl(pipelines):
    assert draw(pipelines("sdxl", "StableDiffusionXLPipeline"), "DPM++ 2M SDE", "Align Your Steps").shape == (
        1,
        4,
        8,
        8,
    )


@pytest.mark.parametrize("sampler", FLOW_SAMPLERS)
def test_flux(pipelines, sampler):
    pipeline = pipelines("flux", "FluxPipeline")
    draw(pipeline, sampler, "Beta" if sampler == "Euler" else "Automatic", flow=True)
    assert pipeline.scheduler.step_index == len(pipeline.scheduler.timesteps)


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "Heun"])
def test_sd3(pipelines, sampler):
    pipeline = pipelines("sd3", "StableDiffusion3Pipeline")
    draw(pipeline, sampler, "Automatic", flow=True)
    assert pipeline.scheduler.step_index == len(pipeline.scheduler.timesteps)


@pytest.mark.parametrize("sampler", ["Euler a", "Heun"])
def test_image_to_image_of_flow_models(pipelines, sampler):
    for family, name in (("flux", "FluxImg2ImgPipeline"), ("sd3", "StableDiffusion3Img2ImgPipeline")):
        pipeline = pipelines(family, name)
        named = {"image": Image.new("RGB", (64, 64), "red"), "strength": 0.6, "height": 64, "width": 64}
        draw(pipeline, sampler, "Automatic", flow=True, steps=5, **named)
        assert pipeline.scheduler.step_index == len(pipeline.scheduler.timesteps)


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE"])
def test_a_picture_does_not_depend_on_its_neighbours(pipelines, sampler):
    pipeline = pipelines("sd", "StableDiffusionPipeline")
    together = draw(pipeline, sampler, "Automatic", seed=(1, 2, 3))
    alone = draw(pipeline, sampler, "Automatic", seed=(1,))
    # The model itself adds up a batch in another order than a single picture, and a random one magnifies that, hence
    # not bit for bit. Another picture's noise would make a difference as large as the picture.
    assert float((together[:1] - alone).std() / alone.std()) < 0.01
    assert float((together[1:2] - alone).std() / alone.std()) > 0.5


def test_the_default_sampler_equals_the_bare_pipeline(pipelines):
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    pipeline = pipelines("flux", "FluxPipeline")
    mine = draw(pipeline, "Euler", "Automatic", flow=True)
    config = {key: value for key, value in pipeline.scheduler.config.items() if not key.startswith("_")}
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(**config)
    bare = pipeline(
        ["a cat"],
        num_inference_steps=3,
        generator=seeds(1),
        output_type="latent",
        return_dict=False,
        height=64,
        width=64,
    )[0]
    assert torch.allclose(mine, bare, atol=1e-5)
