"""Configs of further autoencoders and text encoders, read off the names and shapes of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.contracts.errors import BrokenModel
from modules.sd_models.components import LEVELS
from modules.sd_models.dimensions import count, language_model

Shapes = Mapping[str, tuple[int, ...]]

FILM_CHANNELS = 16
"""Of the latents of Wan 2.1's and Qwen-Image's autoencoders, whose means and spreads are the class's own."""
BERT_HEAD = 64
"""Width of one attention head in every BERT."""
QWEN_HEAD = 128
"""Width of one attention head in every Qwen2.5-VL."""
MISTRAL_HEAD = 128
"""Width of one attention head in every Mistral Small 3, whose heads together are narrower than the model."""

CHATGLM_HEAD = 128
"""Width of one attention head in ChatGLM3."""


def film_vae(shapes: Shapes) -> dict[str, Any]:
    """Config of an autoencoder for films in diffusers naming or in Wan's; all have the same levels.

    Raises `BrokenModel` for one of another number of channels, as Wan 2.2's.
    """
    ours = "encoder.conv_in.weight" in shapes
    base = shapes["encoder.conv_in.weight" if ours else "encoder.conv1.weight"][0]
    channels = shapes["post_quant_conv.weight" if ours else "conv2.weight"][0]
    if channels != FILM_CHANNELS:
        raise BrokenModel(
            f"an autoencoder for films with {channels} channels has statistics that its weights do not tell; put it as "
            "the folder vae with its config.json beside the file"
        )
    return {"base_dim": base, "z_dim": channels}


def deep_vae(shapes: Shapes) -> dict[str, Any]:
    """What the recipe of a deep autoencoder leaves open: all published ones of a family have the same levels."""
    return {"latent_channels": shapes["decoder.conv_in.weight"][1]}


def qwen2_vl(shapes: Shapes) -> dict[str, Any]:
    """Config of Qwen2.5-VL in the naming of any version of transformers."""
    plain = {_plain(name): shape for name, shape in shapes.items()}
    words, width = plain["embed_tokens.weight"]
    seen, grain = plain["visual.patch_embed.proj.weight"][0], plain["visual.patch_embed.proj.weight"]
    depth = count(plain, r"visual\.blocks\.(\d+)\.")
    return {
        "text_config": {
            "vocab_size": words,
            "hidden_size": width,
            "intermediate_size": plain["layers.0.mlp.gate_proj.weight"][0],
            "num_hidden_layers": count(plain, r"layers\.(\d+)\."),
            "num_attention_heads": plain["layers.0.self_attn.q_proj.weight"][0] // QWEN_HEAD,
            "num_key_value_heads": plain["layers.0.self_attn.k_proj.weight"][0] // QWEN_HEAD,
            "rms_norm_eps": 1e-06,
            "max_position_embeddings": 128000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
        },
        "vision_config": {
            "depth": depth,
            "hidden_size": seen,
            "intermediate_size": plain["visual.blocks.0.mlp.gate_proj.weight"][0],
            "num_heads": 16,
            "in_channels": grain[1],
            "temporal_patch_size": grain[2],
            "patch_size": grain[3],
            "out_hidden_size": width,
            # Every eighth layer looks at the whole picture, the others at windows of it.
            "fullatt_block_indexes": [layer for layer in range(depth) if layer % 8 == 7],
        },
    }


def mistral(shapes: Shapes) -> dict[str, Any]:
    """Config of the language model of Mistral Small 3; the recipe says what all sizes share."""
    return {**language_model(shapes, MISTRAL_HEAD), "head_dim": MISTRAL_HEAD}


def chatglm(shapes: Shapes) -> dict[str, Any]:
    """Config of ChatGLM3; the recipe says what all sizes share."""
    words, width = shapes["embedding.word_embeddings.weight"]
    asked = "encoder.layers.0.self_attention.query_key_value"
    heads = shapes["encoder.layers.0.self_attention.dense.weight"][1] // CHATGLM_HEAD
    return {
        "padded_vocab_size": words,
        "hidden_size": width,
        "ffn_hidden_size": shapes["encoder.layers.0.mlp.dense_4h_to_h.weight"][1],
        "num_layers": count(shapes, r"encoder\.layers\.(\d+)\."),
        "kv_channels": CHATGLM_HEAD,
        "num_attention_heads": heads,
        "multi_query_attention": True,
        "multi_query_group_num": (shapes[f"{asked}.weight"][0] // CHATGLM_HEAD - heads) // 2,
        "add_qkv_bias": f"{asked}.bias" in shapes,
    }


def bert(shapes: Shapes) -> dict[str, Any]:
    """Config of a BERT encoder in the naming of transformers."""
    words, width = shapes["embeddings.word_embeddings.weight"]
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": shapes["encoder.layer.0.intermediate.dense.weight"][0],
        "num_hidden_layers": count(shapes, r"encoder\.layer\.(\d+)\."),
        "num_attention_heads": max(1, width // BERT_HEAD),
        "max_position_embeddings": shapes["embeddings.position_embeddings.weight"][0],
        "type_vocab_size": shapes["embeddings.token_type_embeddings.weight"][0],
    }


def _plain(name: str) -> str:
    for level in LEVELS:
        name = name.removeprefix(level)
    return name
