"""Tiny random ControlNets for tiny transformers, which say a lot, and the layouts in which such files are published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.factories import transformer_keys
from tests.factories.parts import seeded

SHARED = ("in_channels", "joint_attention_dim", "pooled_projection_dim", "num_attention_heads", "attention_head_dim")
FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "SD3Transformer2DModel": (
        "SD3ControlNetModel",
        (*SHARED, "sample_size", "patch_size", "caption_projection_dim", "pos_embed_max_size", "qk_norm"),
    ),
    "FluxTransformer2DModel": ("FluxControlNetModel", (*SHARED, "guidance_embeds", "axes_dims_rope")),
    "QwenImageTransformer2DModel": ("QwenImageControlNetModel", (*SHARED, "axes_dims_rope")),
}
"""By the transformer's class: that of its ControlNets, and what they have of its config."""
LAYERS = ("num_layers", "num_single_layers")
SINGLE_HEAD: Mapping[str, Any] = {"attention_head_dim": 32, "num_attention_heads": 1}
"""One head that is as wide as the tiny models, whose config shapes tell as they do of published ones."""


def build_beside(model: Path, *, seed: int = 0, strength: float = 0.5, **changes: Any) -> Any:
    """A ControlNet for the transformer of a tiny model's folder, with two blocks of each kind that it has."""
    import diffusers

    config = json.loads((model / "transformer" / "config.json").read_text())
    name, shared = FAMILIES[config["_class_name"]]
    values = {key: config[key] for key in shared if config.get(key) is not None}
    values |= {key: 2 for key in LAYERS if config.get(key) is not None}
    if name == "FluxControlNetModel":
        values["in_channels"] = 64
    with seeded(seed):
        control = getattr(diffusers, name)(**{**values, **changes})
        _speak(control, strength)
    return control.eval()


def _speak(control: Any, strength: float) -> None:
    import torch

    for name, layer in control.named_modules():
        parent = name.rpartition(".")[0]
        if parent in ("controlnet_blocks", "controlnet_single_blocks"):
            torch.nn.init.normal_(layer.weight, std=strength)
            torch.nn.init.normal_(layer.bias, std=strength)
        elif name in ("controlnet_x_embedder", "pos_embed_input.proj", "input_hint_block.conv_out"):
            torch.nn.init.normal_(layer.weight, std=0.3)


def stability_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A ControlNet of SD 3 without places and words, as Stability's files for SD 3.5 large name it."""
    import torch

    named: dict[str, Any] = {"control_type": torch.tensor(1)}
    plain = {".attn.to_out.0.": ".attn.proj.", ".ff.net.0.proj.": ".mlp.fc1.", ".ff.net.2.": ".mlp.fc2."}
    plain[".norm1.linear."] = ".adaLN_modulation.1."
    for name, tensor in weights.items():
        if ".attn.to_k." in name or ".attn.to_v." in name:
            continue
        if ".attn.to_q." in name:
            parts = [weights[name.replace("to_q", f"to_{letter}")] for letter in "qkv"]
            named[name.replace("to_q", "qkv")] = torch.cat(parts)
            continue
        for ours, theirs in plain.items():
            name = name.replace(ours, theirs)
        named[name] = tensor
    return named


def xlabs_names(weights: Mapping[str, Any], width: int) -> dict[str, Any]:
    """A ControlNet of Flux that sees pixels, as XLabs' files name it."""
    import torch

    end = {f"{name}.{kind}": torch.zeros(2, width) for name in ("proj_out", "norm_out.linear") for kind in KINDS}
    named = transformer_keys.flux({**weights, **end})
    named = {name: tensor for name, tensor in named.items() if not name.startswith("final_layer.")}
    hint = ["conv_in", *(f"blocks.{number}" for number in range(6)), "conv_out"]
    for kind in KINDS:
        named[f"pos_embed_input.{kind}"] = weights[f"controlnet_x_embedder.{kind}"]
        named |= {
            f"input_hint_block.{2 * place}.{kind}": weights[f"input_hint_block.{layer}.{kind}"]
            for place, layer in enumerate(hint)
        }
    return named | {name: tensor for name, tensor in weights.items() if name.startswith("controlnet_blocks.")}


KINDS = ("weight", "bias")
