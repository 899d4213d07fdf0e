"""Layers of a UNet under the names of the original code (LDM), which files for SDXL and LyCORIS use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RESNET = {
    "norm1": "in_layers_0",
    "conv1": "in_layers_2",
    "time_emb_proj": "emb_layers_1",
    "norm2": "out_layers_0",
    "conv2": "out_layers_3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "conv_in": "input_blocks_0_0",
    "time_embedding.linear_1": "time_embed_0",
    "time_embedding.linear_2": "time_embed_2",
    "add_embedding.linear_1": "label_emb_0_0",
    "add_embedding.linear_2": "label_emb_0_2",
    "conv_norm_out": "out_0",
    "conv_out": "out_2",
}
MIDDLE = {"resnets.0": "middle_block_0", "attentions.0": "middle_block_1", "resnets.1": "middle_block_2"}


def original_names(paths: Sequence[str], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Original name, dots as underscores, and path of each layer that has one."""
    levels = len(config["block_out_channels"])
    given = config.get("layers_per_block", 2)
    layers = [given] * levels if isinstance(given, int) else list(given)
    known = set(paths)
    for path in paths:
        name = OUTSIDE.get(path) or _inner(path, layers, known)
        if name:
            yield name, path


def ldm_block(path: str, layers: Sequence[int]) -> tuple[str, int] | None:
    """Which block of the original code a diffusers path lies in: `IN`, `M` or `OUT`, and its number."""
    words = path.split(".")
    if words[0] == "conv_in":
        return "IN", 0
    if words[0] == "mid_block":
        return "M", 0
    if len(words) < 4 or words[0] not in ("down_blocks", "up_blocks"):
        return None
    level, kind, place = int(words[1]), words[2], int(words[3])
    if words[0] == "down_blocks":
        before = 1 + sum(count + 1 for count in layers[:level])
        return "IN", before + (layers[level] if kind == "downsamplers" else place)
    upward = list(reversed(layers))
    before = sum(count + 1 for count in upward[:level])
    return "OUT", before + (upward[level] if kind == "upsamplers" else place)


def _inner(path: str, layers: Sequence[int], known: set[str]) -> str | None:
    words = path.split(".")
    block = ldm_block(path, layers)
    if block is None or words[0] == "conv_in":
        return None
    side, number = block
    if side == "M":
        stem = MIDDLE.get(".".join(words[1:3]))
        return f"{stem}_{_part(words[1], words[3:])}" if stem else None
    kind, rest = words[2], words[4:]
    name = {"IN": "input_blocks", "OUT": "output_blocks"}[side]
    if kind == "downsamplers":
        return f"{name}_{number}_0_op"
    if kind == "upsamplers":
        # Behind the last layer's attention, where the level has any.
        attention = any(one.startswith(f"up_blocks.{words[1]}.attentions.") for one in known)
        return f"{name}_{number}_{2 if attention else 1}_conv"
    return f"{name}_{number}_{1 if kind == 'attentions' else 0}_{_part(kind, rest)}"


def _part(kind: str, rest: Sequence[str]) -> str:
    """What is inside a residual or attention block."""
    if kind == "resnets":
        return "_".join([RESNET.get(rest[0], rest[0]), *rest[1:]])
    return "_".join(rest)
