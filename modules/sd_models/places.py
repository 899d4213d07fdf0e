"""Where the parts of a model stand in a single file, and in which naming, told by the names alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Naming = Literal[
    "ldm",
    "diffusers",
    "clip",
    "open_clip",
    "t5",
    "qwen3",
    "qwen2_vl",
    "gemma2",
    "mistral",
    "bert",
    "chatglm",
    "umt5",
    "wan",
    "ltx",
]
PREFIXES: dict[str, tuple[str, ...]] = {
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": (
        "cond_stage_model.transformer.",
        "cond_stage_model.model.",
        "conditioner.embedders.0.transformer.",
        "text_encoders.clip_l.transformer.",
        "text_encoders.t5xxl.transformer.",
        "text_encoders.qwen3_4b.transformer.model.",
        "text_encoders.gemma2_2b.transformer.model.",
        "text_encoders.qwen25_7b.transformer.",
        "text_encoders.mistral3_24b.transformer.model.",
        "text_encoders.pile_t5xl.transformer.",
        "text_encoders.umt5xxl.transformer.",
        "text_encoders.hydit_clip.transformer.bert.",
        "text_encoder.",
    ),
    "text_encoder_2": (
        "conditioner.embedders.1.model.",
        "conditioner.embedders.0.model.",
        "text_encoders.clip_g.transformer.",
        "text_encoders.t5xxl.transformer.",
        "text_encoders.mt5xl.transformer.",
        "text_encoder_2.",
    ),
    "text_encoder_3": ("text_encoders.t5xxl.transformer.", "text_encoder_3."),
}
"""Beginnings under which each part may stand, as the original code, its successors and diffusers write them."""
READERS: dict[str, dict[str, Naming]] = {
    "sd3": {"text_encoder_3": "t5"},
    "flux": {"text_encoder_2": "t5"},
    "flux-schnell": {"text_encoder_2": "t5"},
    "flux-kontext": {"text_encoder_2": "t5"},
    "flux-fill": {"text_encoder_2": "t5"},
    "chroma": {"text_encoder": "t5"},
    "pixart": {"text_encoder": "t5"},
    "z-image": {"text_encoder": "qwen3"},
    "lumina2": {"text_encoder": "gemma2"},
    "hunyuan-dit": {"text_encoder": "bert", "text_encoder_2": "t5"},
    "flux2": {"text_encoder": "mistral"},
    "flux2-klein": {"text_encoder": "qwen3"},
    "kolors": {"text_encoder": "chatglm"},
    "kandinsky5": {"text_encoder": "qwen2_vl"},
    "auraflow": {"text_encoder": "umt5"},
    "wan": {"text_encoder": "umt5"},
    "wan-ti2v": {"text_encoder": "umt5"},
    "wan-i2v": {"text_encoder": "umt5"},
    "ltx": {"text_encoder": "t5"},
    "sana": {"text_encoder": "gemma2"},
    "qwen-image": {"text_encoder": "qwen2_vl"},
    "qwen-image-edit": {"text_encoder": "qwen2_vl"},
    "qwen-image-edit-plus": {"text_encoder": "qwen2_vl"},
}
"""Text encoders that are not CLIP."""
CLIPS = ("clip", "open_clip")
MARKS: tuple[tuple[frozenset[str], Naming], ...] = (
    (frozenset({"decoder.conv1.weight", "decoder.head.0.gamma"}), "wan"),
    (frozenset({"decoder.conv_in.conv.weight", "per_channel_statistics.std-of-means"}), "ltx"),
    (frozenset({"decoder.conv_in.conv.weight", "latents_std"}), "diffusers"),
    (frozenset({"effnet_mapper.0.weight", "embedding.1.weight"}), "ldm"),
    (frozenset({"in_block.1.weight", "out_block.0.weight"}), "ldm"),
)
"""Weights that no other part has: of autoencoders for films, of the second stage of Stable Cascade, and of its own
autoencoder."""


@dataclass(frozen=True, slots=True)
class Place:
    """A part in a file: what its names begin with, and how they go on."""

    prefix: str
    naming: Naming


def naming_of(names: Iterable[str]) -> Naming | None:
    """The naming of a part whose names are given without prefix; None when it is none that is known."""
    known = set(names)
    if "decoder.conv_in.weight" in known:
        return "diffusers" if any(name.startswith("decoder.up_blocks.") for name in known) else "ldm"
    found = next((naming for marks, naming in MARKS if marks <= known), None)
    if found is not None:
        return found
    if "token_embedding.weight" in known:
        return "open_clip"
    if known & {"visual.patch_embed.proj.weight", "model.visual.patch_embed.proj.weight"}:
        return "qwen2_vl"
    if "embedding.word_embeddings.weight" in known:
        return "chatglm"
    if "embeddings.word_embeddings.weight" in known:
        return "bert"
    if "shared.weight" in known or "encoder.embed_tokens.weight" in known:
        # Every layer of UMT5 has places of its own, where T5 has them in the first.
        return "umt5" if "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight" in known else "t5"
    if {"embed_tokens.weight", "layers.0.pre_feedforward_layernorm.weight"} <= known:
        return "gemma2"
    if {"embed_tokens.weight", "layers.0.self_attn.q_norm.weight"} <= known:
        return "qwen3"
    # Qwen2 has a bias where it asks and is otherwise named alike.
    if {"embed_tokens.weight", "layers.0.self_attn.q_proj.weight"} <= known and (
        "layers.0.self_attn.q_proj.bias" not in known
    ):
        return "mistral"
    if known & {"text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight"}:
        return "clip"
    return None


def readers_of(part: str, family: str) -> tuple[str, ...]:
    """The namings that a text encoder of that family may be in."""
    reader = READERS.get(family, {}).get(part)
    return CLIPS if reader is None else (reader,)


def locate(names: Iterable[str], part: str, family: str) -> Place | None:
    """Where the names have that part of a model of that family."""
    names = tuple(names)
    wanted = readers_of(part, family)
    for prefix in PREFIXES.get(part, ()):
        below = [name[len(prefix) :] for name in names if name.startswith(prefix)]
        naming = naming_of(below) if below else None
        if naming is not None and (part == "vae" or naming in wanted):
            return Place(prefix, naming)
    return None
