"""Names of diffusers weights of SD 3's and Flux's transformers in the layout of the original code of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def _swap(value: Any) -> Any:
    import torch

    scale, shift = value.chunk(2)
    return torch.cat([shift, scale])


def _joined(weights: Mapping[str, Any], prefix: str, names: tuple[str, ...], kind: str) -> Any:
    import torch

    return torch.cat([weights[f"{prefix}.{name}.{kind}"] for name in names])


def sd3(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of SD 3."""
    named: dict[str, Any] = {"pos_embed": weights["pos_embed.pos_embed"]}
    blocks = 1 + max(int(found[1]) for name in weights if (found := re.match(r"transformer_blocks\.(\d+)\.", name)))
    for kind in ("weight", "bias"):
        simple = {
            "x_embedder.proj": "pos_embed.proj",
            "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
            "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
            "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
            "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
            "context_embedder": "context_embedder",
            "final_layer.linear": "proj_out",
        }
        named |= {f"{new}.{kind}": weights[f"{old}.{kind}"] for new, old in simple.items()}
        named[f"final_layer.adaLN_modulation.1.{kind}"] = _swap(weights[f"norm_out.linear.{kind}"])
        for block in range(blocks):
            named |= _sd3_block(weights, block, kind, is_last=block == blocks - 1)
    return named


def _sd3_block(weights: Mapping[str, Any], block: int, kind: str, *, is_last: bool) -> dict[str, Any]:
    old, new = f"transformer_blocks.{block}", f"joint_blocks.{block}"
    named = {
        f"{new}.x_block.attn.qkv.{kind}": _joined(weights, f"{old}.attn", ("to_q", "to_k", "to_v"), kind),
        f"{new}.context_block.attn.qkv.{kind}": _joined(
            weights, f"{old}.attn", ("add_q_proj", "add_k_proj", "add_v_proj"), kind
        ),
        f"{new}.x_block.attn.proj.{kind}": weights[f"{old}.attn.to_out.0.{kind}"],
        f"{new}.x_block.adaLN_modulation.1.{kind}": weights[f"{old}.norm1.linear.{kind}"],
        f"{new}.x_block.mlp.fc1.{kind}": weights[f"{old}.ff.net.0.proj.{kind}"],
        f"{new}.x_block.mlp.fc2.{kind}": weights[f"{old}.ff.net.2.{kind}"],
    }
    context = weights[f"{old}.norm1_context.linear.{kind}"]
    named[f"{new}.context_block.adaLN_modulation.1.{kind}"] = _swap(context) if is_last else context
    named |= _sd35_block(weights, old, new, kind)
    if not is_last:
        named[f"{new}.context_block.attn.proj.{kind}"] = weights[f"{old}.attn.to_add_out.{kind}"]
        named[f"{new}.context_block.mlp.fc1.{kind}"] = weights[f"{old}.ff_context.net.0.proj.{kind}"]
        named[f"{new}.context_block.mlp.fc2.{kind}"] = weights[f"{old}.ff_context.net.2.{kind}"]
    return named


def _sd35_block(weights: Mapping[str, Any], old: str, new: str, kind: str) -> dict[str, Any]:
    """What SD 3.5 has beyond SD 3: normalised queries and keys, and a second attention in some blocks."""
    named: dict[str, Any] = {}
    for target, source in {
        "x_block.attn.ln_q": "attn.norm_q",
        "x_block.attn.ln_k": "attn.norm_k",
        "context_block.attn.ln_q": "attn.norm_added_q",
        "context_block.attn.ln_k": "attn.norm_added_k",
        "x_block.attn2.ln_q": "attn2.norm_q",
        "x_block.attn2.ln_k": "attn2.norm_k",
        "x_block.attn2.proj": "attn2.to_out.0",
    }.items():
        if f"{old}.{source}.{kind}" in weights:
            named[f"{new}.{target}.{kind}"] = weights[f"{old}.{source}.{kind}"]
    if f"{old}.attn2.to_q.{kind}" in weights:
        named[f"{new}.x_block.attn2.qkv.{kind}"] = _joined(weights, f"{old}.attn2", ("to_q", "to_k", "to_v"), kind)
    return named


def flux(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of Flux.1."""
    named: dict[str, Any] = {}
    embedders = {"time_in": "timestep_embedder", "vector_in": "text_embedder", "guidance_in": "guidance_embedder"}
    for kind in ("weight", "bias"):
        for new, old in embedders.items():
            for number, layer in ((1, "in_layer"), (2, "out_layer")):
                name = f"time_text_embed.{old}.linear_{number}.{kind}"
                if name in weights:
                    named[f"{new}.{layer}.{kind}"] = weights[name]
        named[f"img_in.{kind}"] = weights[f"x_embedder.{kind}"]
        named[f"txt_in.{kind}"] = weights[f"context_embedder.{kind}"]
        named[f"final_layer.linear.{kind}"] = weights[f"proj_out.{kind}"]
        if f"norm_out.linear.{kind}" in weights:
            named[f"final_layer.adaLN_modulation.1.{kind}"] = _swap(weights[f"norm_out.linear.{kind}"])
    for name in weights:
        if found := re.fullmatch(r"transformer_blocks\.(\d+)\.attn\.to_q\.(weight|bias)", name):
            named |= _flux_double(weights, int(found[1]), found[2])
        elif found := re.fullmatch(r"single_transformer_blocks\.(\d+)\.attn\.to_q\.(weight|bias)", name):
            named |= _flux_single(weights, int(found[1]), found[2])
    return named


def _flux_double(weights: Mapping[str, Any], block: int, kind: str) -> dict[str, Any]:
    old, new = f"transformer_blocks.{block}", f"double_blocks.{block}"
    modulation = {"img_mod": "norm1", "txt_mod": "norm1_context"}
    named = {
        f"{new}.{mod}.lin.{kind}": weights[f"{old}.{norm}.linear.{kind}"]
        for mod, norm in modulation.items()
        if f"{old}.{norm}.linear.{kind}" in weights
    }
    named |= {
        f"{new}.img_attn.qkv.{kind}": _joined(weights, f"{old}.attn", ("to_q", "to_k", "to_v"), kind),
        f"{new}.txt_attn.qkv.{kind}": _joined(weights, f"{old}.attn", ("add_q_proj", "add_k_proj", "add_v_proj"), kind),
        f"{new}.img_attn.proj.{kind}": weights[f"{old}.attn.to_out.0.{kind}"],
        f"{new}.txt_attn.proj.{kind}": weights[f"{old}.attn.to_add_out.{kind}"],
    }
    for stream, feed in (("img", "ff"), ("txt", "ff_context")):
        named[f"{new}.{stream}_mlp.0.{kind}"] = weights[f"{old}.{feed}.net.0.proj.{kind}"]
        named[f"{new}.{stream}_mlp.2.{kind}"] = weights[f"{old}.{feed}.net.2.{kind}"]
    norms = {"img": ("norm_q", "norm_k"), "txt": ("norm_added_q", "norm_added_k")}
    for stream, (query, key) in norms.items():
        named[f"{new}.{stream}_attn.norm.query_norm.scale"] = weights[f"{old}.attn.{query}.weight"]
        named[f"{new}.{stream}_attn.norm.key_norm.scale"] = weights[f"{old}.attn.{key}.weight"]
    return named


def _flux_single(weights: Mapping[str, Any], block: int, kind: str) -> dict[str, Any]:
    old, new = f"single_transformer_blocks.{block}", f"single_blocks.{block}"
    modulation = f"{old}.norm.linear.{kind}"
    return {
        **({f"{new}.modulation.lin.{kind}": weights[modulation]} if modulation in weights else {}),
        f"{new}.linear1.{kind}": _joined(weights, old, ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"), kind),
        f"{new}.linear2.{kind}": weights[f"{old}.proj_out.{kind}"],
        f"{new}.norm.query_norm.scale": weights[f"{old}.attn.norm_q.weight"],
        f"{new}.norm.key_norm.scale": weights[f"{old}.attn.norm_k.weight"],
    }


def chroma(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of Chroma: Flux's without modulations, and the network that stands in their place."""
    guidance = {name: value for name, value in weights.items() if name.startswith("distilled_guidance_layer.")}
    layers = {"linear_1": "in_layer", "linear_2": "out_layer"}
    renamed = {re.sub(r"linear_[12]", lambda found: layers[found[0]], name): value for name, value in guidance.items()}
    scales = {re.sub(r"(norms\.\d+)\.weight", r"\1.scale", name): value for name, value in renamed.items()}
    return {**flux(weights), **scales}


def pixart(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of PixArt, with the null caption and the table of positions that its authors store."""
    import torch

    simple = {
        "pos_embed.proj": "x_embedder.proj",
        "caption_projection.linear_1": "y_embedder.y_proj.fc1",
        "caption_projection.linear_2": "y_embedder.y_proj.fc2",
        "adaln_single.emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "adaln_single.emb.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "adaln_single.linear": "t_block.1",
        "proj_out": "final_layer.linear",
    }
    layers = {
        "attn1.to_out.0": "attn.proj",
        "attn2.to_q": "cross_attn.q_linear",
        "attn2.to_out.0": "cross_attn.proj",
        "ff.net.0.proj": "mlp.fc1",
        "ff.net.2": "mlp.fc2",
    }
    named: dict[str, Any] = {"final_layer.scale_shift_table": weights["scale_shift_table"]}
    blocks = 1 + max(int(found[1]) for name in weights if (found := re.match(r"transformer_blocks\.(\d+)\.", name)))
    for kind in ("weight", "bias"):
        named |= {f"{new}.{kind}": weights[f"{old}.{kind}"] for old, new in simple.items()}
        for block in range(blocks):
            old, new = f"transformer_blocks.{block}", f"blocks.{block}"
            named |= {f"{new}.{theirs}.{kind}": weights[f"{old}.{ours}.{kind}"] for ours, theirs in layers.items()}
            named[f"{new}.attn.qkv.{kind}"] = _joined(weights, f"{old}.attn1", ("to_q", "to_k", "to_v"), kind)
            named[f"{new}.cross_attn.kv_linear.{kind}"] = _joined(weights, f"{old}.attn2", ("to_k", "to_v"), kind)
            named[f"{new}.scale_shift_table"] = weights[f"{old}.scale_shift_table"]
    inner = named["x_embedder.proj.weight"].shape[0]
    return named | {"pos_embed": torch.zeros(1, 16, inner), "y_embedder.y_embedding": torch.zeros(300, 32)}


def z_image(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of Z-Image."""
    plain = {"all_x_embedder.2-1.": "x_embedder.", "all_final_layer.2-1.": "final_layer."}
    layers = {".to_out.0.": ".out.", ".norm_q.": ".q_norm.", ".norm_k.": ".k_norm."}
    named: dict[str, Any] = {}
    for name, value in weights.items():
        if found := re.fullmatch(r"(.+\.attention)\.to_q\.weight", name):
            named[f"{found[1]}.qkv.weight"] = _joined(weights, found[1], ("to_q", "to_k", "to_v"), "weight")
        elif not re.search(r"\.to_[kv]\.weight$", name):
            for ours, theirs in (plain | layers).items():
                name = name.replace(ours, theirs)
            named[name] = value
    return named


LUMINA2 = {
    "time_caption_embed.caption_embedder": "cap_embedder",
    "time_caption_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_caption_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "norm_out.linear_1": "final_layer.adaLN_modulation.1",
    "norm_out.linear_2": "final_layer.linear",
    "norm1.linear": "adaLN_modulation.1",
    "norm1.norm": "attention_norm1",
    ".norm1.": ".attention_norm1.",
    ".norm2.": ".attention_norm2.",
    "attn.norm_q": "attn.q_norm",
    "attn.norm_k": "attn.k_norm",
    "attn.to_out.0": "attn.out",
    "feed_forward.linear_": "feed_forward.w",
}


def lumina2(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of Lumina 2."""
    named: dict[str, Any] = {}
    for name, value in weights.items():
        if found := re.fullmatch(r"(.+)\.attn\.to_q\.weight", name):
            joined = _joined(weights, f"{found[1]}.attn", ("to_q", "to_k", "to_v"), "weight")
            named[f"{found[1]}.attention.qkv.weight"] = joined
        elif not re.search(r"\.to_[kv]\.weight$", name):
            for ours, theirs in LUMINA2.items():
                name = name.replace(ours, theirs)
            named[name.replace(".attn.", ".attention.")] = value
    return named
