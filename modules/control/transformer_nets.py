"""ControlNets that stand beside a transformer: their configs by the shapes of a single file, and their authors' names.

Files are known in diffusers' names, and in those of Stability's ControlNets for SD 3.5 and of XLabs' for Flux.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from modules.sd_models import original_names
from modules.sd_models.dimensions import HEAD, Shapes, count

Tensors = dict[str, torch.Tensor]
PATCH = 2
"""Latent cells along one side of a token, in all of these families."""
LATENT = 16
"""Channels of the latents in all of these families."""
MODES = "controlnet_mode_embedder.weight"
GUIDED = "time_text_embed.guidance_embedder.linear_1.weight"
DENOISERS: Mapping[str, str] = {
    "SD3Transformer2DModel": "sd3",
    "FluxTransformer2DModel": "flux",
    "QwenImageTransformer2DModel": "qwen",
}
"""Which models a transformer is of."""


def read_dimensions(made: str, naming: str, shapes: Shapes) -> dict[str, Any]:
    """Config for the class `made` by the names and shapes of a single file."""
    return DIMENSIONS[made, naming](shapes)


def _sd3(shapes: Shapes) -> dict[str, Any]:
    """Stability's own for SD 3.5 large read neither words nor places: they have no embedders for these."""
    inner, channels, patch, _ = shapes["pos_embed_input.proj.weight"]
    places, words = shapes.get("pos_embed.pos_embed"), shapes.get("context_embedder.weight")
    normalised = shapes.get("transformer_blocks.0.attn.norm_q.weight")
    head = normalised[0] if normalised else HEAD
    inputs = shapes["pos_embed.proj.weight"][1] if places else LATENT
    dual = sorted({int(name.split(".")[1]) for name in shapes if ".attn2." in name})
    return {
        "patch_size": patch,
        "in_channels": inputs,
        "out_channels": inputs,
        "num_layers": count(shapes, r"controlnet_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": words[1] if words else None,
        "caption_projection_dim": words[0] if words else inner,
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "pos_embed_max_size": math.isqrt(places[1]) if places else None,
        "pos_embed_type": "sincos" if places else None,
        "use_pos_embed": places is not None,
        "extra_conditioning_channels": channels - inputs,
        "dual_attention_layers": tuple(dual),
        "qk_norm": "rms_norm" if normalised else None,
        # As published: those that read words were trained without what is pooled of them, the others with it.
        "force_zeros_for_pooled_projection": words is not None,
    }


def _flux(shapes: Shapes) -> dict[str, Any]:
    inner, channels = shapes["x_embedder.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    hint = shapes.get("input_hint_block.conv_out.weight")
    return {
        "patch_size": 1 if hint is None else PATCH,
        "in_channels": channels,
        "num_layers": count(shapes, r"controlnet_blocks\.(\d+)\."),
        "num_single_layers": count(shapes, r"controlnet_single_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "guidance_embeds": GUIDED in shapes,
        "axes_dims_rope": _axes(head),
        "num_mode": shapes[MODES][0] if MODES in shapes else None,
        "conditioning_embedding_channels": None if hint is None else hint[0],
    }


def _flux_of_xlabs(shapes: Shapes) -> dict[str, Any]:
    inner, channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.key_norm.scale"][0]
    return {
        "patch_size": PATCH,
        "in_channels": channels,
        "num_layers": count(shapes, r"controlnet_blocks\.(\d+)\."),
        "num_single_layers": 0,
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": _axes(head),
        "conditioning_embedding_channels": shapes["input_hint_block.14.weight"][0],
    }


def _qwen(shapes: Shapes) -> dict[str, Any]:
    inner, channels = shapes["img_in.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    return {
        "in_channels": channels,
        "out_channels": LATENT,
        "num_layers": count(shapes, r"controlnet_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "axes_dims_rope": _axes(head),
        "extra_condition_channels": shapes["controlnet_x_embedder.weight"][1] - channels,
    }


def _axes(head: int) -> tuple[int, int, int]:
    """Shares of a head that turn with the plane, the row and the column."""
    plane = head // 8
    return plane, (head - plane) // 2, (head - plane) // 2


DIMENSIONS: Mapping[tuple[str, str], Callable[[Shapes], dict[str, Any]]] = {
    ("SD3ControlNetModel", "diffusers"): _sd3,
    ("SD3ControlNetModel", "ldm"): _sd3,
    ("FluxControlNetModel", "diffusers"): _flux,
    ("FluxControlNetModel", "ldm"): _flux_of_xlabs,
    ("QwenImageControlNetModel", "diffusers"): _qwen,
}


def rename_net(made: str, tensors: Tensors) -> Tensors:
    """The tensors of a file in its authors' names, as diffusers' class has them."""
    return _from_xlabs(tensors) if made == "FluxControlNetModel" else _from_stability(tensors)


STABILITY = {
    "attn.proj": "attn.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
    "adaLN_modulation.1": "norm1.linear",
}
"""By what a block's layer is called there; all else has diffusers' names already."""


def _from_stability(tensors: Tensors) -> Tensors:
    named: Tensors = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if not stem:
            continue
        block, dot, layer = stem.partition(".attn.qkv")
        if dot and not layer:
            for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
                named[f"{block}.attn.to_{letter}.{last}"] = piece.clone()
            continue
        for theirs, ours in STABILITY.items():
            stem = f"{stem.removesuffix(theirs)}{ours}" if stem.endswith(f".{theirs}") else stem
        named[f"{stem}.{last}"] = tensor
    return named


def _from_xlabs(tensors: Tensors) -> Tensors:
    """The transformer's part is in Black Forest Labs' names. Eight convolutions look at the picture, every other one of
    a row of layers."""
    named = original_names.flux(tensors)
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if stem.startswith("controlnet_blocks."):
            named[name] = tensor
        elif stem == "pos_embed_input":
            named[f"controlnet_x_embedder.{last}"] = tensor
        elif stem.startswith("input_hint_block."):
            place = int(stem.rpartition(".")[2])
            layer = {0: "conv_in", 14: "conv_out"}.get(place, f"blocks.{place // 2 - 1}")
            named[f"input_hint_block.{layer}.{last}"] = tensor
    return named


MASKED: Mapping[str, int] = {"sd3": 1, "qwen": PATCH**2}
"""What a network that sees a mask has for it, beside the latents of the picture."""
Difference = tuple[str, Any, Any]
"""What it is, of the network and of the denoiser."""


def differing_from(config: Mapping[str, Any], beside: str, denoiser: Any) -> list[Difference]:
    """What a network has otherwise than the transformer that it is to steer; `beside` is which models it is for."""
    its = denoiser.config
    pairs: list[Difference] = [("kind", beside, DENOISERS.get(type(denoiser).__name__, type(denoiser).__name__))]
    pairs.append(("width", _width(config), _width(its)))
    for name in ("joint_attention_dim", "pooled_projection_dim"):
        if config.get(name) is not None:  # some do not read the words
            pairs.append((name, config.get(name), its.get(name)))
    seen = config.get("extra_conditioning_channels") or config.get("extra_condition_channels") or 0
    if seen:
        pairs.append(("channels for a mask", seen, MASKED[beside]))
    return [pair for pair in pairs if pair[1] != pair[2]]


def _width(config: Mapping[str, Any]) -> int | None:
    """Numbers of one token inside; None where it is no transformer's config."""
    heads, head = config.get("num_attention_heads"), config.get("attention_head_dim")
    return heads * head if isinstance(heads, int) and isinstance(head, int) else None
