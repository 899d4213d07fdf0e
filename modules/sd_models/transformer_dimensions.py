"""Configs of further transformers, read off the names and shapes of their weights.

What shapes cannot tell, such as the axes of positions, is a fixed share of what they tell in every published model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.sd_models.dimensions import count

Shapes = Mapping[str, tuple[int, ...]]


def qwen_image(shapes: Shapes) -> dict[str, Any]:
    """Config of Qwen-Image's transformer, which has one naming only."""
    inner, channels = shapes["img_in.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    time = head // 8
    return {
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0] // 4,
        "num_layers": count(shapes, r"transformer_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "axes_dims_rope": (time, (head - time) // 2, (head - time) // 2),
    }
