"""Configs of further transformers, read off the names and shapes of their weights.

What shapes cannot tell, such as the axes of positions, is a fixed share of what they tell in every published model.
"""

from __future__ import annotations

import math
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


AURA_HEAD = 256
"""Width of one attention head in every AuraFlow."""


def auraflow(shapes: Shapes) -> dict[str, Any]:
    """Config of AuraFlow's transformer in its original naming."""
    inner, inputs = shapes["init_x_linear.weight"]
    return {
        "in_channels": inputs // 4,
        "out_channels": shapes["final_linear.weight"][0] // 4,
        "num_mmdit_layers": count(shapes, r"double_layers\.(\d+)\."),
        "num_single_dit_layers": count(shapes, r"single_layers\.(\d+)\."),
        "attention_head_dim": AURA_HEAD,
        "num_attention_heads": inner // AURA_HEAD,
        "joint_attention_dim": shapes["cond_seq_linear.weight"][1],
        "caption_projection_dim": shapes["cond_seq_linear.weight"][0],
        "pos_embed_max_size": shapes["positional_encoding"][1],
    }


SANA_HEAD, SANA_CROSS_HEAD = 32, 112
"""Widths of one head of self attention and of attention to the words in every Sana."""


def sana(shapes: Shapes) -> dict[str, Any]:
    """Config of Sana's transformer in its original naming."""
    inner, channels, patch, _ = shapes["x_embedder.proj.weight"]
    return {
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "patch_size": patch,
        "num_layers": count(shapes, r"blocks\.(\d+)\."),
        "attention_head_dim": SANA_HEAD,
        "num_attention_heads": inner // SANA_HEAD,
        "cross_attention_head_dim": SANA_CROSS_HEAD,
        "num_cross_attention_heads": inner // SANA_CROSS_HEAD,
        "cross_attention_dim": inner,
        "caption_channels": shapes["y_embedder.y_proj.fc1.weight"][1],
        "mlp_ratio": shapes["blocks.0.mlp.inverted_conv.conv.weight"][0] / inner / 2,
        "qk_norm": "rms_norm_across_heads" if "blocks.0.attn.q_norm.weight" in shapes else None,
    }


def flux2(shapes: Shapes) -> dict[str, Any]:
    """Config of Flux.2's transformer in its original naming."""
    inner, channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.key_norm.scale"][0]
    return {
        "in_channels": channels,
        "num_layers": count(shapes, r"double_blocks\.(\d+)\."),
        "num_single_layers": count(shapes, r"single_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "mlp_ratio": shapes["single_blocks.0.linear2.weight"][1] / inner - 1,
        "axes_dims_rope": (head // 4,) * 4,
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
    }


def kandinsky5(shapes: Shapes) -> dict[str, Any]:
    """Config of Kandinsky 5's transformer, which has one naming; the recipe says how a place is told."""
    inner, seen = shapes["visual_embeddings.in_layer.weight"]
    patch = (1, 2, 2)
    channels = shapes["out_layer.out_layer.weight"][0] // math.prod(patch)
    return {
        "in_visual_dim": channels,
        "out_visual_dim": channels,
        "visual_cond": seen // math.prod(patch) > channels,
        "patch_size": patch,
        "in_text_dim": shapes["text_embeddings.in_layer.weight"][1],
        "in_text_dim2": shapes["pooled_text_embeddings.in_layer.weight"][1],
        "time_dim": shapes["time_embeddings.out_layer.weight"][0],
        "model_dim": inner,
        "ff_dim": shapes["visual_transformer_blocks.0.feed_forward.in_layer.weight"][0],
        "num_text_blocks": count(shapes, r"text_transformer_blocks\.(\d+)\."),
        "num_visual_blocks": count(shapes, r"visual_transformer_blocks\.(\d+)\."),
    }


def hunyuan_dit(shapes: Shapes) -> dict[str, Any]:
    """Config of HunyuanDiT's transformer in its original naming."""
    inner, channels, patch, _ = shapes["x_embedder.proj.weight"]
    head = shapes["blocks.0.attn1.q_norm.weight"][0]
    places, width = shapes["text_embedding_padding"]
    t5_places = shapes["pooler.positional_embedding"][0] - 1
    return {
        "in_channels": channels,
        "patch_size": patch,
        "learn_sigma": shapes["final_layer.linear.weight"][0] > channels * patch**2,
        "hidden_size": inner,
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "num_layers": count(shapes, r"blocks\.(\d+)\."),
        # The model rounds the product down.
        "mlp_ratio": (shapes["blocks.0.mlp.fc1.weight"][0] + 0.5) / inner,
        "cross_attention_dim": width,
        "cross_attention_dim_t5": shapes["mlp_t5.0.weight"][1],
        "pooled_projection_dim": shapes["pooler.c_proj.weight"][0],
        "text_len": places - t5_places,
        "text_len_t5": t5_places,
        "use_style_cond_and_image_meta_size": "style_embedder.weight" in shapes,
    }


WAN_HEAD = 128
"""Width of one attention head in every Wan."""


def wan(shapes: Shapes) -> dict[str, Any]:
    """Config of Wan's transformer in its original naming."""
    inner, channels, *patch = shapes["patch_embedding.weight"]
    config: dict[str, Any] = {
        "patch_size": tuple(patch),
        "in_channels": channels,
        "out_channels": shapes["head.head.weight"][0] // math.prod(patch),
        "num_layers": count(shapes, r"blocks\.(\d+)\."),
        "attention_head_dim": WAN_HEAD,
        "num_attention_heads": inner // WAN_HEAD,
        "text_dim": shapes["text_embedding.0.weight"][1],
        "freq_dim": shapes["time_embedding.0.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
    }
    if "img_emb.proj.1.weight" in shapes:
        config |= {"image_dim": shapes["img_emb.proj.1.weight"][1], "added_kv_proj_dim": inner}
    return config
