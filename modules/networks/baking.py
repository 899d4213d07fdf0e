"""Networks written into a model's weights for good, as a diffusers folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modules.contracts.catalog import Family, ModelEntry
from modules.contracts.errors import InvalidRequest
from modules.contracts.networks import NetworkEntry
from modules.contracts.plan import Placement
from modules.networks.loading import LoadedNetwork, load_network
from modules.sd_models.folders import DEFAULTS
from modules.sd_models.hashes import hash_model
from modules.sd_models.loader import load_model
from modules.sd_models.merging import WEIGHT_TYPES
from modules.support.atomic import replacing_folder

RECIPE = "baked.json"
"""Beside the model: what was written into what."""
GROUPS = ("denoiser", "text_encoder", "vae")


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One network and how much of it."""

    entry: NetworkEntry
    denoiser: float = 1.0
    text: float = 1.0


def bake_networks(
    model: ModelEntry,
    family: Family,
    networks: Sequence[Ingredient],
    target: Path,
    *,
    dtype: str = "float16",
    folders: Sequence[Path] = (),
    force: bool = False,
) -> Path:
    """Write the model with the networks in its weights to the folder `target`, whole or not at all.

    Weights are computed in 32 bits and written as `dtype`. Raises `InvalidRequest`, `BrokenModel` or
    `UnsupportedFeature`.
    """
    if target.exists() and not force:
        raise InvalidRequest(f"{target.name} exists already; give --force to replace it.")
    if dtype not in WEIGHT_TYPES:
        raise InvalidRequest(f"The type is {dtype!r}; allowed are {', '.join(WEIGHT_TYPES)}.")
    placement = dict.fromkeys(GROUPS, Placement("cpu", "float32"))
    loaded = load_model(model, family, placement, folders=folders)
    parts = {
        name: loaded.components[name]
        for name in (family.denoiser, *family.text_encoders)
        if loaded.components.get(name)
    }
    for each in networks:
        write_in(load_network(each.entry, family.denoiser, parts, model=model.name), parts, family.denoiser, each)
    with replacing_folder(target) as partial:
        _save(loaded.components, loaded.options, family, partial, getattr(torch, dtype))
        if (model.path / DEFAULTS).is_file():
            shutil.copy2(model.path / DEFAULTS, partial / DEFAULTS)
        recipe = {
            "model": {"name": model.name, "sha256": hash_model(model.path)},
            "networks": [
                {
                    "name": each.entry.name,
                    "sha256": hash_model(each.entry.path),
                    "denoiser": each.denoiser,
                    "text": each.text,
                }
                for each in networks
            ],
        }
        (partial / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n", "utf-8")
    return target


def write_in(network: LoadedNetwork, parts: dict[str, Any], denoiser: str, wish: Ingredient) -> None:
    """Add a network's differences to the weights of `parts`, in place.

    Differences that depend on the weights see what networks before this one made of them.
    """
    with torch.no_grad():
        for part, changes in network.changes.items():
            share = wish.denoiser if part == denoiser else wish.text
            for path, change in changes.items() if share else ():
                layer = parts[part].get_submodule(path)
                weight, bias = change.difference(layer)
                for own, difference in ((layer.weight, weight), (layer.bias if bias is not None else None, bias)):
                    if own is not None and difference is not None:
                        own.add_((share * difference).to(own.dtype))


def _save(components: dict[str, Any], options: Any, family: Family, target: Path, dtype: torch.dtype) -> None:
    import diffusers

    kind = getattr(diffusers, family.pipeline)
    wanted = kind._get_signature_keys(kind)
    given = {name: components.get(name) for name in wanted[0]}
    given |= {name: value for name, value in options.items() if name in wanted[1]}
    if "requires_safety_checker" in wanted[1]:
        given["requires_safety_checker"] = False
    for name in (family.denoiser, "vae", *family.text_encoders):
        if components.get(name) is not None:
            components[name].to(dtype)
    kind(**given).save_pretrained(target, safe_serialization=True)
