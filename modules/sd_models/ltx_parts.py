"""LTX-Video in one file: what its transformer and its autoencoder are called there, and configs read off the shapes.

There are three kinds of the autoencoder: the first, that of 0.9.1, whose decoder is told how much noise is left, and
that since 0.9.5, whose encoder folds sides and time apart. All kinds are told by their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from modules.sd_models.dimensions import count

Shapes = Mapping[str, tuple[int, ...]]
Tensors = dict[str, torch.Tensor]
HEADS = 32
"""Attention heads of every LTX-Video, the small ones and the large ones."""
COLOURS = 3
TRANSFORMER = {
    "patchify_proj.": "proj_in.",
    "adaln_single.": "time_embed.",
    ".q_norm.": ".norm_q.",
    ".k_norm.": ".norm_k.",
}
AUTOENCODER = {
    "conv_shortcut.": "conv_shortcut.conv.",
    "res_blocks.": "resnets.",
    "norm3.norm.": "norm3.",
    "last_time_embedder.": "time_embedder.",
    "last_scale_shift_table": "scale_shift_table",
}
STATISTICS = {
    "per_channel_statistics.mean-of-means": "latents_mean",
    "per_channel_statistics.std-of-means": "latents_std",
}
FIRST_DOWN = (
    *("down_blocks.0", "down_blocks.0.downsamplers.0", "down_blocks.0.conv_out"),
    *("down_blocks.1", "down_blocks.1.downsamplers.0", "down_blocks.1.conv_out"),
    *("down_blocks.2", "down_blocks.2.downsamplers.0", "down_blocks.3", "mid_block"),
)
"""What the encoder's blocks are here, in the order of the file, until 0.9.1."""
FIRST_UP = (
    *("mid_block", "up_blocks.0", "up_blocks.1.upsamplers.0", "up_blocks.1"),
    *("up_blocks.2.conv_in", "up_blocks.2.upsamplers.0", "up_blocks.2"),
    *("up_blocks.3.conv_in", "up_blocks.3.upsamplers.0", "up_blocks.3"),
)
"""The same of the decoder, before 0.9.1."""
LATER_DOWN = (*(f"down_blocks.{place // 2}{'.downsamplers.0' * (place % 2)}" for place in range(8)), "mid_block")
"""The encoder's since 0.9.5."""
LATER_UP = ("mid_block", *(f"up_blocks.{place // 2}{'.upsamplers.0' * (1 - place % 2)}" for place in range(8)))
"""The decoder's since 0.9.1."""
FOLDS = {4: "spatial", 2: "temporal", 8: "spatiotemporal"}
"""How a level folds, by the cells that it makes one of."""


def transformer_names(tensors: Tensors) -> Tensors:
    """The transformer from its original naming."""
    return {_replaced(name, TRANSFORMER): tensor for name, tensor in tensors.items()}


def transformer(shapes: Shapes) -> dict[str, Any]:
    """Config of the transformer in its original naming."""
    inner, channels = shapes["patchify_proj.weight"]
    return {
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0],
        "num_attention_heads": HEADS,
        "attention_head_dim": inner // HEADS,
        "cross_attention_dim": shapes["transformer_blocks.0.attn2.to_k.weight"][1],
        "num_layers": count(shapes, r"transformer_blocks\.(\d+)\."),
        "caption_channels": shapes["caption_projection.linear_1.weight"][1],
    }


def vae_names(tensors: Tensors) -> Tensors:
    """The autoencoder from its original naming, without the statistics that nobody asks for."""
    named = _vae_names(tensors)
    return {named[name]: tensor for name, tensor in tensors.items() if name in named}


def vae(shapes: Shapes) -> dict[str, Any]:
    """Config of the autoencoder in its original naming or in that of diffusers."""
    named = _vae_names(shapes)
    ours = {named[name]: shape for name, shape in shapes.items() if name in named} if named else dict(shapes)
    down, up = (count(ours, rf"{side}_blocks\.(\d+)\.") for side in ("encoder.down", "decoder.up"))
    ends = [ours[f"encoder.down_blocks.{level}.resnets.0.conv1.conv.weight"][0] for level in range(down)]
    folded = [ours.get(f"encoder.down_blocks.{level}.downsamplers.0.conv.conv.weight") for level in range(down)]
    middle = ours["encoder.mid_block.resnets.0.conv1.conv.weight"][0]
    patch = round((ours["encoder.conv_in.conv.weight"][1] / COLOURS) ** 0.5)
    config: dict[str, Any] = {
        "latent_channels": ours["decoder.conv_in.conv.weight"][1],
        "patch_size": patch,
        "block_out_channels": tuple(ends),
        "layers_per_block": (*(_layers(ours, f"encoder.down_blocks.{level}") for level in range(down)), _middle(ours)),
        "spatio_temporal_scaling": tuple(
            any(name.startswith(f"encoder.down_blocks.{level}.downsamplers.") for name in ours) for level in range(down)
        ),
        "timestep_conditioning": "decoder.scale_shift_table" in ours,
        **_decoder(ours, up),
    }
    if any(folded):
        after = [*ends[1:], middle]
        kinds = [FOLDS[wide // shape[0]] for wide, shape in zip(after, folded, strict=True) if shape]
        config |= {
            "block_out_channels": (*ends, middle),
            "down_block_types": ("LTXVideo095DownBlock3D",) * down,
            "downsample_type": tuple(kinds),
            "spatial_compression_ratio": patch * 2 ** sum("spati" in kind for kind in kinds),
            "temporal_compression_ratio": 2 ** sum("tempo" in kind for kind in kinds),
        }
    return config


def _decoder(ours: Shapes, up: int) -> dict[str, Any]:
    """What is said of the decoder, the levels from the largest to the smallest, as the class counts them."""
    levels = [f"decoder.up_blocks.{level}" for level in reversed(range(up))]
    parts = [*levels, "decoder.mid_block"]
    folds = [ours.get(f"{level}.upsamplers.0.conv.conv.weight") for level in levels]
    factors = [1 if shape is None else 8 * shape[1] // shape[0] for shape in folds]
    ends = [ours[f"{level}.resnets.0.conv1.conv.weight"][0] for level in levels]
    return {
        "decoder_block_out_channels": tuple(wide * factor for wide, factor in zip(ends, factors, strict=True)),
        "decoder_layers_per_block": tuple(_layers(ours, part) for part in parts),
        "decoder_spatio_temporal_scaling": tuple(shape is not None for shape in folds),
        "decoder_inject_noise": tuple(f"{part}.resnets.0.per_channel_scale1" in ours for part in parts),
        "upsample_residual": tuple(factor > 1 for factor in factors),
        "upsample_factor": tuple(factors),
    }


def _layers(ours: Shapes, part: str) -> int:
    return count(ours, re.escape(part) + r"\.resnets\.(\d+)\.")


def _middle(ours: Shapes) -> int:
    return _layers(ours, "encoder.mid_block")


def _vae_names(names: Mapping[str, Any]) -> dict[str, str]:
    """What each of the autoencoder's names is here; empty for weights that are not in the original naming."""
    if not any(name in STATISTICS for name in names):
        return {}
    told = any(name.startswith("decoder.last_time_embedder.") for name in names)
    last = count(names, r"encoder\.down_blocks\.(\d+)\.") - 1
    down = FIRST_DOWN if last == len(FIRST_DOWN) - 1 else LATER_DOWN
    up = LATER_UP if told else FIRST_UP
    found = {}
    for name in names:
        if name in STATISTICS:
            found[name] = STATISTICS[name]
        elif match := re.fullmatch(r"(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.(.+)", name):
            block = (down if match[1] == "encoder" else up)[int(match[2])]
            found[name] = f"{match[1]}.{block}.{_replaced(match[3], AUTOENCODER)}"
        elif not name.startswith("per_channel_statistics."):
            found[name] = _replaced(name, AUTOENCODER)
    return found


def _replaced(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        name = name.replace(old, new)
    return name
