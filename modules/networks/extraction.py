"""A LoRA made of the difference between two models: of each layer the largest components (SVD)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from modules.contracts.errors import InvalidRequest
from modules.sd_models.folders import holds_weights, read_parts, read_weights
from modules.sd_models.hashes import hash_model
from modules.sd_models.merging import WEIGHT_TYPES, WeightFiles

PREFIXES = {
    "model.diffusion_model.": "lora_unet_",
    "cond_stage_model.transformer.": "lora_te_",
    "conditioner.embedders.0.transformer.": "lora_te1_",
}
"""Beginnings of names in single files, and what kohya's trainer writes for them."""
SMALLEST = 1e-6
"""Layers in which no weight differs by more are the same."""


@dataclass(frozen=True, slots=True)
class Extract:
    """What is to be made."""

    original: Path
    tuned: Path
    rank: int = 32
    dtype: str = "float16"


@dataclass(frozen=True, slots=True)
class Extracted:
    """What came of it."""

    target: Path
    layers: int
    kept: float
    """Share of the squared difference of these layers that the network holds, 0 to 1."""


def extract_network(wish: Extract, target: Path, *, force: bool = False) -> Extracted:
    """Write a LoRA that turns `original` into `tuned` as far as its rank allows (Eckart and Young, 1936).

    Raises `InvalidRequest` for models that do not fit together or do not differ, or a target that is there.
    """
    if target.exists() and not force:
        raise InvalidRequest(f"{target.name} exists already; give --force to replace it.")
    if target.suffix != ".safetensors":
        raise InvalidRequest(f"The target {target.name} has to end in .safetensors.")
    if wish.rank < 1 or wish.dtype not in WEIGHT_TYPES:
        raise InvalidRequest(f"A rank of 1 or more and one of {', '.join(WEIGHT_TYPES)} are needed.")
    tensors: dict[str, torch.Tensor] = {}
    whole = held = 0.0
    for stem, difference in _differences(wish.original, wish.tuned):
        up, down = cut(difference, wish.rank)
        whole += float(difference.square().sum())
        held += float((up.flatten(1) @ down.flatten(1)).square().sum())
        dtype = getattr(torch, wish.dtype)
        tensors[f"{stem}.lora_up.weight"] = up.to(dtype).contiguous()
        tensors[f"{stem}.lora_down.weight"] = down.to(dtype).contiguous()
        tensors[f"{stem}.alpha"] = torch.tensor(float(down.shape[0]), dtype=dtype)
    if not tensors:
        raise InvalidRequest("The two models do not differ in any layer that a LoRA can change.")
    partial = target.with_name(f".{target.name}.part")
    try:
        save_file(tensors, str(partial), metadata=_metadata(wish, target))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Extracted(target, len(tensors) // 3, held / whole)


def cut(difference: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best product of that rank: up (out, rank) and down (rank, in), or with the kernel in down."""
    left, values, right = torch.linalg.svd(difference.float().flatten(1), full_matrices=False)
    root = values[:rank].sqrt()
    up, down = left[:, :rank] * root, root[:, None] * right[:rank]
    if difference.ndim == 2:
        return up, down
    return up.reshape(*up.shape, 1, 1), down.reshape(down.shape[0], *difference.shape[1:])


def _differences(original: Path, tuned: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """kohya's name of each layer that differs, and the difference in fp32."""
    if original.is_dir() != tuned.is_dir():
        raise InvalidRequest("A file and a folder cannot be compared; both have to be of one layout.")
    if not original.is_dir():
        with ExitStack() as stack:
            yield from _compare(WeightFiles(stack, [original]), WeightFiles(stack, [tuned]), None)
        return
    parts = [name for name in read_parts(original)[1] if holds_weights(name) and name != "vae"]
    several = sum(name.startswith("text_encoder") for name in parts) > 1
    for name in parts:
        number = name.removeprefix("text_encoder").lstrip("_") or "1"
        prefix = f"lora_te{number if several else ''}_" if name.startswith("text_encoder") else "lora_unet_"
        with ExitStack() as stack:
            files = [read_weights(folder / name).files for folder in (original, tuned)]
            yield from _compare(WeightFiles(stack, files[0]), WeightFiles(stack, files[1]), prefix)


def _compare(first: WeightFiles, second: WeightFiles, prefix: str | None) -> Iterator[tuple[str, torch.Tensor]]:
    for name in sorted(first.names):
        stem = _stem(name, prefix)
        if stem is None or name not in second.names:
            continue
        one, other = first.get(name), second.get(name)
        if one.ndim not in (2, 4) or not one.is_floating_point():
            continue
        if one.shape != other.shape:
            shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
            raise InvalidRequest(f"The models do not fit together: {name} has the shapes {shapes}.")
        difference = other.float() - one.float()
        if float(difference.abs().max()) > SMALLEST:
            yield stem, difference


def _stem(name: str, prefix: str | None) -> str | None:
    """What kohya calls the layer of a weight; None for what is no layer or no LoRA changes."""
    if not name.endswith(".weight") or "embedding" in name:
        return None
    layer = name.removesuffix(".weight")
    if prefix is None:
        begin = next((begin for begin in PREFIXES if layer.startswith(begin)), None)
        return None if begin is None else PREFIXES[begin] + layer.removeprefix(begin).replace(".", "_")
    if prefix.startswith("lora_te") and not layer.startswith("text_model.") and layer.startswith("encoder.layers."):
        layer = f"text_model.{layer}"  # newer libraries leave the word out, which no trainer does
    return prefix + layer.replace(".", "_")


def _metadata(wish: Extract, target: Path) -> dict[str, str]:
    made = {"original": wish.original, "tuned": wish.tuned}
    recipe = {name: {"name": path.stem, "sha256": hash_model(path)} for name, path in made.items()}
    return {
        "format": "pt",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(wish.rank),
        "ss_network_alpha": str(float(wish.rank)),
        "ss_output_name": target.stem,
        "atelier_extracted": json.dumps({**recipe, "rank": wish.rank, "dtype": wish.dtype}),
    }
