"""Tiny random ControlNets and adapters for the tiny models. Each says a lot, unlike fresh ones, which say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.factories.ldm_keys import unet_key
from tests.factories.parts import seeded

HINT = (8, 8, 16, 16)
"""Channels of the small network before the hint."""


def unet_of(model: Path) -> Any:
    """The denoiser of a tiny model's folder."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(model / "unet")


def build_control(model: Path, *, seed: int = 0, strength: float = 0.5, **changes: Any) -> Any:
    """A ControlNet for the tiny model, whose last layers are random of that strength; 0 leaves it silent."""
    from diffusers import ControlNetModel

    with seeded(seed):
        control = ControlNetModel.from_unet(unet_of(model), conditioning_embedding_out_channels=HINT, **changes)
        _speak(control, strength)
    return control.eval()


def build_union(model: Path, *, seed: int = 0, strength: float = 0.5) -> Any:
    """A union of eight conditions for a tiny SDXL."""
    from diffusers import ControlNetUnionModel

    unet = unet_of(model)
    names = ("block_out_channels", "cross_attention_dim", "attention_head_dim", "down_block_types")
    names += ("layers_per_block", "use_linear_projection", "transformer_layers_per_block", "addition_embed_type")
    names += ("addition_time_embed_dim", "projection_class_embeddings_input_dim")
    with seeded(seed):
        control = ControlNetUnionModel(
            **{name: unet.config[name] for name in names},
            conditioning_embedding_out_channels=HINT,
            num_control_type=8,
            num_trans_channel=unet.config.block_out_channels[0],
            num_trans_head=2,
            num_proj_channel=unet.config.block_out_channels[0],
        )
        _speak(control, strength)
    return control.eval()


def build_adapter(model: Path, *, seed: int = 0) -> Any:
    """A T2I-Adapter for a tiny SD 1.5."""
    from diffusers import T2IAdapter

    channels = list(unet_of(model).config.block_out_channels)
    with seeded(seed):
        return T2IAdapter(
            in_channels=3, channels=channels, num_res_blocks=1, downscale_factor=8, adapter_type="full_adapter"
        ).eval()


def deepen(model: Path, target: Path) -> Path:
    """The tiny model with a denoiser of two layers a block, as real ones have."""
    import shutil

    from diffusers import UNet2DConditionModel

    shutil.copytree(model, target)
    config = {**unet_of(model).config, "layers_per_block": 2}
    with seeded(22):
        UNet2DConditionModel.from_config(config).save_pretrained(target / "unet")
    return target


def build_xs(model: Path, *, seed: int = 0, strength: float = 0.5, **changes: Any) -> Any:
    """A ControlNet-XS as wide as the tiny model, whose crossings are random of that strength."""
    import torch
    from diffusers import ControlNetXSAdapter

    with seeded(seed):
        control = ControlNetXSAdapter.from_unet(
            unet_of(model), size_ratio=1.0, conditioning_embedding_out_channels=HINT, **changes
        )
        for name, layer in control.named_modules():
            if isinstance(layer, torch.nn.Conv2d) and ("_to_" in name or name.endswith("cond_embedding.conv_out")):
                torch.nn.init.normal_(layer.weight, std=strength * 0.2)
    return control.eval()


def _speak(control: Any, strength: float) -> None:
    import torch

    silent = (*control.controlnet_down_blocks, control.controlnet_mid_block)
    for layer in silent:
        torch.nn.init.normal_(layer.weight, std=strength * 0.2)
        torch.nn.init.normal_(layer.bias, std=strength * 0.2)
    torch.nn.init.normal_(control.controlnet_cond_embedding.conv_out.weight, std=0.5)


def save_ldm(control, target):
    """The ControlNet as its authors would have written it."""
    from safetensors.torch import save_file

    named = {}
    for name, tensor in control.state_dict().items():
        stem, _, last = name.rpartition(".")
        words = stem.split(".")
        if words[0] == "controlnet_down_blocks":
            key = f"zero_convs.{words[1]}.0"
        elif words[0] == "controlnet_mid_block":
            key = "middle_block_out.0"
        elif words[0] == "controlnet_cond_embedding":
            place = {"conv_in": 0, "conv_out": 14}.get(words[1])
            key = f"input_hint_block.{2 * int(words[2]) + 2 if place is None else place}"
        else:
            named[f"control_model.{unet_key(name, 1, frozenset({1, 2, 3}))}"] = tensor.contiguous()
            continue
        named[f"control_model.{key}.{last}"] = tensor.contiguous()
    save_file(named, target)
