"""Orders reach plain diffusers pipelines whole. Models are tiny and random: what counts is what changes pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modules.pocket.evaluation.drawing import Order
from modules.pocket.evaluation.pipelines import (
    Adapter,
    Defaults,
    PipelineDraw,
    open_controls,
    open_pipeline,
    put_sampler,
)

SIDE = 64
TWO = Order(("a red circle", "a blue square"), (1, 2), steps=2, guidance=3.0)
GREY = np.full((2, SIDE, SIDE, 3), 120, np.uint8)
HINT = np.repeat(np.repeat(np.indices((SIDE, SIDE)).sum(axis=0)[None, :, :, None] % 16 // 8, 3, 3), 2, 0)
HINTS = (HINT * 255).astype(np.uint8)
TOKEN = "<learned>"


def open_tiny(folder):
    """With a sampler that does not warn about NumPy."""
    from diffusers import DDIMScheduler

    pipeline = open_pipeline(folder)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    return pipeline


@pytest.fixture(scope="module")
def draw(tiny_sd15_folder, tmp_path_factory):
    """The tiny model with a ControlNet, a LoRA and a textual inversion, whose effects are strong."""
    from diffusers import ControlNetModel

    folder = tmp_path_factory.mktemp("additions")
    pipeline = open_tiny(tiny_sd15_folder)
    torch.manual_seed(3)
    control = ControlNetModel.from_unet(pipeline.unet)
    for layer in (*control.controlnet_down_blocks, control.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.2)
    torch.nn.init.normal_(control.controlnet_cond_embedding.conv_out.weight, std=0.2)
    control.save_pretrained(folder / "canny")
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v"
    out, across = pipeline.unet.get_submodule(layer).weight.shape
    matrices = {"lora_A": torch.randn(2, across), "lora_B": torch.randn(out, 2)}
    save_file({f"unet.{layer}.{name}.weight": value for name, value in matrices.items()}, folder / "lora.safetensors")
    save_file({TOKEN: 3 * torch.randn(2, 768)}, folder / "word.safetensors")
    adapters = {
        "style": Adapter(folder / "lora.safetensors"),
        "word": Adapter(folder / "word.safetensors", TOKEN, "cat"),
    }
    controls = open_controls({"canny": folder / "canny"})
    return PipelineDraw(pipeline, Defaults(2, 3.0, SIDE), controls, adapters, batch=1)


def apart(first, second):
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def test_pictures_follow_from_prompt_seed_negative_and_guidance(draw):
    pictures = draw(TWO)
    assert pictures.shape == (2, SIDE, SIDE, 3)
    assert pictures.dtype == np.uint8
    assert apart(pictures, draw(TWO)) == 0
    assert apart(pictures[1:], draw(TWO.part(1, 2))) == 0
    for other in (
        replace(TWO, seeds=(8, 9)),
        replace(TWO, negative="green dog"),
        replace(TWO, guidance=1.0),
        replace(TWO, steps=3),
    ):
        assert apart(pictures, draw(other)) > 0
    assert draw(replace(TWO, size=96)).shape == (2, 96, 96, 3)


def test_start_pictures_count_the_more_the_lower_the_strength(draw):
    from_start = replace(TWO, images=GREY, steps=4)
    little, much = draw(replace(from_start, strength=0.3)), draw(replace(from_start, strength=0.9))
    assert little.shape == GREY.shape
    assert apart(little, much) > 0


def test_a_family_that_has_to_be_told_keeps_the_size_of_the_start_picture_too(tiny_sd3_folder):
    draw = PipelineDraw(open_pipeline(tiny_sd3_folder), Defaults(2, 1.0, SIDE))
    asked = Order(("a red circle",), (1,), steps=2, guidance=1.0, size=96, images=np.full((1, 96, 96, 3), 9, np.uint8))
    assert draw(replace(asked, strength=0.5)).shape == (1, 96, 96, 3)


def test_a_mask_is_painted_with_the_model_for_it(tiny_sd15_inpaint_folder):
    draw = PipelineDraw(open_tiny(tiny_sd15_inpaint_folder), Defaults(2, 3.0, SIDE))
    masks = np.zeros((2, SIDE, SIDE), np.uint8)
    masks[:, 16:48, 16:48] = 255
    asked = replace(TWO, images=GREY, masks=masks)
    assert draw(asked).shape == GREY.shape
    assert apart(draw(asked), draw(replace(asked, masks=255 - masks))) > 0


def test_a_control_acts_by_its_weight_and_leaves_the_model_as_it_was(draw):
    before = draw(TWO)
    guided = replace(TWO, images=HINTS, control="canny", size=SIDE)
    assert apart(draw(replace(guided, weight=0.0)), before) <= 0.01
    assert apart(draw(guided), before) > 0.1
    assert apart(draw(TWO), before) == 0
    with pytest.raises(KeyError):
        draw(replace(guided, control="depth"))


@pytest.mark.parametrize(("adapter", "prompt"), [("style", "a red circle"), ("word", f"a red {TOKEN}")])
def test_an_adapter_acts_by_its_weight_and_leaves_the_model_as_it_was(draw, adapter, prompt):
    plain = draw(Order(("a red circle" if adapter == "style" else "a red cat",), (1,)))
    order = Order((prompt,), (1,), adapter=adapter)
    assert apart(draw(replace(order, weight=0.0)), plain) <= 0.01
    half, whole = draw(replace(order, weight=0.5)), draw(replace(order, weight=1.0))
    assert apart(half, plain) > 0
    assert apart(whole, half) > 0
    assert apart(draw(Order(("a red circle" if adapter == "style" else "a red cat",), (1,))), plain) == 0


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model_index\.json"):
        open_pipeline(tmp_path)


def test_a_models_own_sampler_is_what_it_is_drawn_with(tiny_sd15_folder):
    """The studio's Euler a, with the noise of each picture from the picture's own seed."""
    pipeline = open_tiny(tiny_sd15_folder)
    assert put_sampler(pipeline, Defaults()) == "DDIMScheduler"
    plain = PipelineDraw(pipeline, Defaults(3, 3.0, SIDE), batch=2)(TWO)
    assert put_sampler(pipeline, Defaults(3, 3.0, SIDE, "Euler a")) == "Euler a, Automatic"
    ancestral = PipelineDraw(pipeline, Defaults(3, 3.0, SIDE), batch=2)
    both = ancestral(TWO)
    assert apart(both, plain) > 1
    assert apart(ancestral(TWO.part(1, 2)), both[1:]) < 0.1
