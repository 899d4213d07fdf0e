"""From the names of the original code of each family to those of diffusers and transformers.

UNet and autoencoder go through the converters of diffusers, which know every variant of them. Text encoders and the
transformers of SD 3 and Flux are translated here: diffusers' own ways for these assume the sizes of the published
models, or build the model at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from modules.sd_models.transformer_names import CHROMA, FLUX, HUNYUAN, LUMINA2, PIXART, SANA, SD3, Row

Tensors = dict[str, torch.Tensor]

OPEN_CLIP = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
OPEN_CLIP_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
LETTERS = ("q", "k", "v")


def unet(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    """A UNet from LDM naming."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    prefixed = {f"model.diffusion_model.{name}": tensor for name, tensor in tensors.items()}
    converted: Tensors = convert_ldm_unet_checkpoint(prefixed, dict(config))
    return converted


def vae(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    """An autoencoder from LDM naming."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    converted: Tensors = convert_ldm_vae_checkpoint(tensors, dict(config))
    return converted


def film_vae(tensors: Tensors) -> Tensors:
    """An autoencoder for films from the naming of Wan's code."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    converted: Tensors = convert_wan_vae_to_diffusers(dict(tensors))
    return converted


def wan(tensors: Tensors) -> Tensors:
    """Wan's transformer from its original naming."""
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    converted: Tensors = convert_wan_transformer_to_diffusers(dict(tensors))
    return converted


def open_clip(tensors: Tensors, layers: int) -> Tensors:
    """The first `layers` layers of a CLIP text encoder from OpenCLIP's naming."""
    named: Tensors = {new: tensors[old] for old, new in OPEN_CLIP.items() if old in tensors}
    if "text_projection" in tensors:
        named["text_projection.weight"] = tensors["text_projection"].T.contiguous()
    for name, tensor in tensors.items():
        match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", name)
        if not match or int(match[1]) >= layers:
            continue
        layer, rest = f"encoder.layers.{match[1]}", match[2]
        if rest.startswith("attn.in_proj_"):
            kind = rest.removeprefix("attn.in_proj_")
            for letter, piece in zip(LETTERS, tensor.chunk(3), strict=True):
                named[f"{layer}.self_attn.{letter}_proj.{kind}"] = piece.clone()
            continue
        stem, _, kind = rest.rpartition(".")
        named[f"{layer}.{OPEN_CLIP_LAYER.get(stem, stem)}.{kind}"] = tensor
    return named


def flux(tensors: Tensors) -> Tensors:
    """Flux's transformer from its original naming."""
    return _translate(tensors, FLUX, tensors["img_in.weight"].shape[0])


def chroma(tensors: Tensors) -> Tensors:
    """Chroma's transformer from its original naming."""
    return _translate(tensors, CHROMA, tensors["img_in.weight"].shape[0])


def pixart(tensors: Tensors) -> Tensors:
    """PixArt's transformer from its original naming."""
    return _translate(tensors, PIXART, tensors["x_embedder.proj.weight"].shape[0])


def lumina2(tensors: Tensors) -> Tensors:
    """Lumina 2's transformer from its original naming."""
    return _translate(tensors, LUMINA2, tensors["x_embedder.weight"].shape[0])


def z_image(tensors: Tensors) -> Tensors:
    """Z-Image's transformer from the naming of its original code."""
    from diffusers.loaders.single_file_utils import convert_z_image_transformer_checkpoint_to_diffusers

    converted: Tensors = convert_z_image_transformer_checkpoint_to_diffusers(dict(tensors))
    return converted


def hunyuan_dit(tensors: Tensors) -> Tensors:
    """HunyuanDiT's transformer from its original naming; of styles the first is the one that is drawn in."""
    named = _translate(tensors, HUNYUAN, tensors["x_embedder.proj.weight"].shape[0])
    style = "time_extra_emb.style_embedder.weight"
    return {**named, style: named[style][:1]} if style in named else named


def flux2(tensors: Tensors) -> Tensors:
    """Flux.2's transformer from its original naming."""
    from diffusers.loaders.single_file_utils import convert_flux2_transformer_checkpoint_to_diffusers

    converted: Tensors = convert_flux2_transformer_checkpoint_to_diffusers(dict(tensors))
    return converted


def auraflow(tensors: Tensors) -> Tensors:
    """AuraFlow's transformer from its original naming."""
    from diffusers.loaders.single_file_utils import convert_auraflow_transformer_checkpoint_to_diffusers

    converted: Tensors = convert_auraflow_transformer_checkpoint_to_diffusers(dict(tensors))
    return converted


def sana(tensors: Tensors) -> Tensors:
    """Sana's transformer from its original naming."""
    return _translate(tensors, SANA, tensors["x_embedder.proj.weight"].shape[0])


def cascade(tensors: Tensors) -> Tensors:
    """A stage of Stable Cascade from its original naming, or from that of diffusers, in which it stays as it is."""
    named: Tensors = {}
    for name, tensor in tensors.items():
        kind = "weight" if name.endswith("weight") else "bias"
        if name.endswith(f".attn.in_proj_{kind}"):
            stem = name.removesuffix(f"attn.in_proj_{kind}")
            pieces = zip(LETTERS, tensor.chunk(3), strict=True)
            named.update({f"{stem}to_{letter}.{kind}": piece.clone() for letter, piece in pieces})
        else:
            own = name.replace(".attn.out_proj.", ".to_out.0.")
            named["clip_txt_pooled_mapper." + kind if own == f"clip_mapper.{kind}" else own] = tensor
    return named


def paella(tensors: Tensors) -> Tensors:
    """Paella's autoencoder from its original naming."""
    return {name.replace("vquantizer.codebook.", "vquantizer.embedding."): tensor for name, tensor in tensors.items()}


def sd3(tensors: Tensors) -> Tensors:
    """SD 3's transformer from its original naming."""
    named = _translate(tensors, SD3, tensors["x_embedder.proj.weight"].shape[0])
    last = max(int(name.split(".")[1]) for name in named if name.startswith("transformer_blocks."))
    for kind in ("weight", "bias"):
        # The last context block only normalises, as the final layer does, so its halves are swapped too.
        name = f"transformer_blocks.{last}.norm1_context.linear.{kind}"
        named[name] = _swapped(named[name])
    return named


def _translate(tensors: Tensors, table: tuple[Row, ...], inner: int) -> Tensors:
    """Names that no row matches are dropped. `inner` is the width of one piece where a tensor is cut."""
    named: Tensors = {}
    for name, tensor in tensors.items():
        stem, kind = _kind_of(name)
        for row in table:
            match = re.fullmatch(row.original, stem)
            if not match:
                continue
            targets = [match.expand(target) + kind for target in row.targets]
            if len(targets) > 1:
                sizes = [inner] * (len(targets) - 1)
                if row.grouped:
                    sizes = [inner, (tensor.shape[0] - inner) // 2]
                pieces = tensor.split([*sizes, tensor.shape[0] - sum(sizes)])
                named.update({target: piece.clone() for target, piece in zip(targets, pieces, strict=True)})
            else:
                named[targets[0]] = _swapped(tensor) if row.swapped else tensor
            break
    return named


def _kind_of(name: str) -> tuple[str, str]:
    """The name without `.weight` and its like, and that ending as diffusers writes it."""
    stem, _, last = name.rpartition(".")
    if last in ("weight", "bias"):
        return stem, f".{last}"
    return (stem, ".weight") if last == "scale" else (name, "")


def _swapped(tensor: torch.Tensor) -> torch.Tensor:
    first, second = tensor.chunk(2)
    return torch.cat([second, first])
