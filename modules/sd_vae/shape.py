"""The architecture of an autoencoder, read from the names and shapes of its tensors.

A file's own tensors are the only sure source: the same file name holds four or sixteen channels, and a reference
config knows the scale of the latents but not the width of somebody's layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

PREFIXES = ("first_stage_model.", "vae.")
"""Where a whole checkpoint keeps its autoencoder."""


def bare(names: Shapes) -> tuple[str, dict[str, tuple[int, ...]]]:
    """The prefix of the autoencoder's tensors and their shapes without it."""
    for prefix in PREFIXES:
        found = {name.removeprefix(prefix): shape for name, shape in names.items() if name.startswith(prefix)}
        if "decoder.conv_in.weight" in found:
            return prefix, found
    return "", dict(names)


def layout(shapes: Shapes) -> str | None:
    """`diffusers`, `ldm`, `tiny` (diffusers' AutoencoderTiny), `taesd` (its decoder as published), or None."""
    if "decoder.layers.0.weight" in shapes:
        return "tiny"
    if "decoder.conv_in.weight" in shapes:
        return "diffusers" if any(name.startswith("decoder.up_blocks.") for name in shapes) else "ldm"
    if "1.weight" in shapes and "3.conv.0.weight" in shapes:
        return "taesd"
    return None


def channels(shapes: Shapes) -> int | None:
    """Latent channels, or None when the tensors do not tell."""
    for name in ("decoder.conv_in.weight", "decoder.layers.0.weight", "1.weight"):
        if name in shapes and len(shapes[name]) == 4:
            return shapes[name][1]
    return None


def kl_config(shapes: Shapes, ldm: bool) -> dict[str, Any]:
    """What the tensors say of an AutoencoderKL: widths, depth, attention, quantising convolutions."""
    # LDM numbers the encoder's levels `down.0…`, diffusers `down_blocks.0…`; the convolutions inside are alike.
    pattern = (
        r"encoder\.down\.(\d+)\.block\.(\d+)\.conv1\."
        if ldm
        else r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv1\."
    )
    blocks: dict[int, list[int]] = {}
    widths: dict[int, int] = {}
    for name, shape in shapes.items():
        found = re.match(pattern + "weight", name)
        if found:
            blocks.setdefault(int(found[1]), []).append(int(found[2]))
            widths[int(found[1])] = shape[0]
    levels = sorted(widths)
    attention = "encoder.mid.attn_1.q.weight" if ldm else "encoder.mid_block.attentions.0.to_q.weight"
    older = "encoder.mid_block.attentions.0.query.weight"
    config: dict[str, Any] = {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": tuple(widths[level] for level in levels),
        "layers_per_block": len(blocks[levels[0]]) if levels else 1,
        "down_block_types": ("DownEncoderBlock2D",) * len(levels),
        "up_block_types": ("UpDecoderBlock2D",) * len(levels),
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "mid_block_add_attention": attention in shapes or older in shapes,
    }
    return config


def tiny_config(shapes: Shapes) -> dict[str, Any]:
    """What the tensors say of an AutoencoderTiny; its widths are 64 throughout in every published one."""
    width = shapes["decoder.layers.0.weight"][0]
    return {
        "latent_channels": shapes["decoder.layers.0.weight"][1],
        "encoder_block_out_channels": (width,) * 4,
        "decoder_block_out_channels": (width,) * 4,
    }
