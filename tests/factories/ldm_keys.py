"""Names of diffusers weights in the layout of the original Stable Diffusion code (LDM), from its conventions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
OPEN_CLIP_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
NUMBERED = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def _swap(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        if name == old or name.startswith(old + "."):
            return new + name[len(old) :]
    return name


def unet_key(name: str, layers: int, attention_levels: frozenset[int]) -> str:
    """The LDM name of one UNet weight. `attention_levels` are the up blocks that have attention."""
    if found := MIDDLE.fullmatch(name):
        kind, index, rest = found.groups()
        place = 1 if kind == "attentions" else 2 * int(index)
        return f"middle_block.{place}.{_swap(rest, RESNET) if kind == 'resnets' else rest}"
    if not (found := NUMBERED.fullmatch(name)):
        return _swap(name, UNET_ENDS)
    side, block, kind, index, rest = found.groups()
    first = int(block) * (layers + 1)
    if kind == "downsamplers":
        return f"input_blocks.{1 + first + layers}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{first + layers}.{2 if int(block) in attention_levels else 1}.{rest}"
    place = f"input_blocks.{1 + first + int(index)}" if side == "down" else f"output_blocks.{first + int(index)}"
    return f"{place}.0.{_swap(rest, RESNET)}" if kind == "resnets" else f"{place}.1.{rest}"


def unet(weights: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """All weights of a UNet under their LDM names, without the prefix of the whole model."""
    kinds = enumerate(config["up_block_types"])
    attention = frozenset(level for level, kind in kinds if kind.startswith("CrossAttn"))
    return {unet_key(name, config["layers_per_block"], attention): value for name, value in weights.items()}


def vae(weights: Mapping[str, Any], levels: int) -> dict[str, Any]:
    """All weights of an autoencoder under their LDM names; attention becomes the 1 × 1 convolution it was."""
    named = {}
    for name, value in weights.items():
        head, _, rest = name.partition(".")
        if head not in ("encoder", "decoder"):
            named[name] = value
        elif found := MIDDLE.fullmatch(rest):
            kind, index, tail = found.groups()
            if kind == "resnets":
                named[f"{head}.mid.block_{int(index) + 1}.{_swap(tail, {'conv_shortcut': 'nin_shortcut'})}"] = value
            else:
                is_matrix = value.dim() == 2
                named[f"{head}.mid.attn_1.{_swap(tail, VAE_ATTENTION)}"] = (
                    value[:, :, None, None] if is_matrix else value
                )
        elif found := NUMBERED.fullmatch(rest):
            side, block, kind, index, tail = found.groups()
            level = int(block) if side == "down" else levels - 1 - int(block)
            tail = _swap(tail, {"conv_shortcut": "nin_shortcut"})
            named[
                f"{head}.{side}.{level}." + (f"block.{index}.{tail}" if kind == "resnets" else f"{side}sample.{tail}")
            ] = value
        else:
            named[f"{head}.{_swap(rest, {'conv_norm_out': 'norm_out'})}"] = value
    return named


def clip(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A CLIP text encoder as transformers named it before 5.6: all but the projection begins `text_model.`."""
    return {
        name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}": value
        for name, value in weights.items()
    }


def open_clip(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A CLIP text encoder in OpenCLIP's naming: query, key and value in one matrix, the projection transposed."""
    import torch

    plain = {name.removeprefix("text_model."): value for name, value in weights.items()}
    named = {}
    for name, value in plain.items():
        if name == "text_projection.weight":
            named["text_projection"] = value.T.contiguous()
        elif name in OPEN_CLIP_ENDS:
            named[OPEN_CLIP_ENDS[name]] = value
        elif found := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", name):
            layer, part = found.groups()
            three = [plain[f"encoder.layers.{layer}.self_attn.{letter}_proj.{part}"] for letter in "qkv"]
            named[f"transformer.resblocks.{layer}.attn.in_proj_{part}"] = torch.cat(three)
        elif found := re.fullmatch(r"encoder\.layers\.(\d+)\.(?!self_attn\.[kv]_proj)(.+)", name):
            layer, rest = found.groups()
            named[f"transformer.resblocks.{layer}.{_swap(rest, OPEN_CLIP)}"] = value
    return named
