"""Configs of both stages of Stable Cascade and of Paella's autoencoder, read off the names and shapes of weights.

Both stages are one class, whose config lists the kinds of blocks of each level.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modules.sd_models.dimensions import count

Shapes = Mapping[str, tuple[int, ...]]
HEAD = 64
"""Width of one attention head in every published size."""
FOLDED = 2
"""Cells along a side that the second stage puts into one."""
KINDS = {
    "depthwise.weight": "SDCascadeResBlock",
    "mapper.weight": "SDCascadeTimestepBlock",
    "kv_mapper.1.weight": "SDCascadeAttnBlock",
}
"""Weights by which a block is known."""


def unet(shapes: Shapes) -> dict[str, Any]:
    """Config of either stage, in the naming of its authors or of diffusers."""
    levels = count(shapes, r"down_blocks\.(\d+)\.")
    down = [_kinds(shapes, "down", level) for level in range(levels)]
    up = [_kinds(shapes, "up", level) for level in range(levels)]
    res = KINDS["depthwise.weight"]
    pattern = [tuple(dict.fromkeys(kinds)) for kinds in down]
    widths = tuple(shapes[f"down_blocks.{level}.0.depthwise.weight"][0] for level in range(levels))
    attends = [KINDS["kv_mapper.1.weight"] in kinds for kinds in pattern]
    inner = next(shape[1] for name, shape in shapes.items() if name.endswith("kv_mapper.1.weight"))
    texts = ("clip_txt_pooled_mapper.weight", "clip_mapper.weight")
    pooled = next(shapes[name] for name in texts if name in shapes)
    patch = FOLDED if "effnet_mapper.0.weight" in shapes else 1
    channels = shapes["embedding.1.weight"][1] // patch**2
    stepped = "down_blocks.0.1"
    return {
        "in_channels": channels,
        "out_channels": channels,
        "patch_size": patch,
        "timestep_ratio_embedding_dim": shapes[f"{stepped}.mapper.weight"][1],
        "conditioning_dim": inner,
        "block_out_channels": widths,
        "num_attention_heads": tuple(
            width // HEAD if there else -1 for width, there in zip(widths, attends, strict=True)
        ),
        "down_num_layers_per_block": tuple(kinds.count(res) for kinds in down),
        "up_num_layers_per_block": tuple(kinds.count(res) for kinds in up),
        "down_blocks_repeat_mappers": tuple(_repeats(shapes, "down", level) for level in range(levels)),
        "up_blocks_repeat_mappers": tuple(_repeats(shapes, "up", level) for level in range(levels)),
        "block_types_per_layer": tuple(pattern),
        "clip_text_in_channels": _inputs(shapes, "clip_txt_mapper.weight"),
        "clip_text_pooled_in_channels": pooled[1],
        "clip_image_in_channels": _inputs(shapes, "clip_img_mapper.weight"),
        "clip_seq": pooled[0] // inner,
        "effnet_in_channels": _inputs(shapes, "effnet_mapper.0.weight"),
        "pixel_mapper_in_channels": _inputs(shapes, "pixels_mapper.0.weight"),
        "kernel_size": shapes["down_blocks.0.0.depthwise.weight"][-1],
        "self_attn": True,
        "dropout": 0.0,
        "timestep_conditioning_type": tuple(
            kind for kind in ("sca", "crp") if f"{stepped}.mapper_{kind}.weight" in shapes
        ),
        # No published size goes to another size by such a block; the others are made of strides.
        "switch_level": (False,) * (levels - 1) if "down_downscalers.1.1.blocks.0.weight" in shapes else None,
    }


def paella(shapes: Shapes) -> dict[str, Any]:
    """Config of the autoencoder."""
    embedding = next(shapes[name] for name in CODEBOOKS if name in shapes)
    widths = [
        shape[0] for name, shape in shapes.items() if re.fullmatch(r"down_blocks\.\d+\.depthwise\.1\.weight", name)
    ]
    folded = round((shapes["in_block.1.weight"][1] // 3) ** 0.5)
    up = sum(bool(re.fullmatch(r"up_blocks\.\d+\.depthwise\.1\.weight", name)) for name in shapes)
    return {
        "up_down_scale_factor": folded,
        "levels": len(widths),
        "embed_dim": max(widths),
        "bottleneck_blocks": up - len(widths) + 1,
        "latent_channels": embedding[1],
        "num_vq_embeddings": embedding[0],
    }


CODEBOOKS = ("vquantizer.embedding.weight", "vquantizer.codebook.weight")
"""The quantiser's table, as diffusers and as its authors call it."""


def _kinds(shapes: Shapes, side: str, level: int) -> list[str]:
    blocks = range(count(shapes, rf"{side}_blocks\.{level}\.(\d+)\."))
    found = []
    for block in blocks:
        begin = f"{side}_blocks.{level}.{block}."
        found.append(next(kind for mark, kind in KINDS.items() if begin + mark in shapes))
    return found


def _repeats(shapes: Shapes, side: str, level: int) -> int:
    return count(shapes, rf"{side}_repeat_mappers\.{level}\.(\d+)\.") + 1


def _inputs(shapes: Shapes, name: str) -> int | None:
    return shapes[name][1] if name in shapes else None
