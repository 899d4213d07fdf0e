"""Reads a network's file and fits it to a loaded model: which layers it changes, and how."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from modules.contracts.errors import BrokenModel, UnsupportedFeature, reason_of
from modules.contracts.networks import NetworkEntry
from modules.networks.building import Reading, build_change
from modules.networks.changes import Change
from modules.networks.parameters import PEFT_CONFIG, group_by_layer
from modules.networks.places import LayerIndex
from modules.networks.vector_files import BUNDLE, bundles_of
from modules.sd_models.header import read_header, read_json

PEFT_METADATA = "lora_adapter_metadata"
"""Where diffusers keeps the same inside the file."""


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network fitted to one model."""

    entry: NetworkEntry
    changes: Mapping[str, Mapping[str, Change]]
    """By component and path of the layer."""
    words: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """Embeddings that come along in the file, by word, each as a file of its own would hold it."""
    strange: tuple[str, ...] = ()
    """Names in the file that mean nothing for this model."""
    identity: Hashable = None
    """Equal for the same file read in the same way, also when it was loaded anew."""

    @cached_property
    def size_bytes(self) -> int:
        """Memory that it takes at most."""
        return sum(change.bytes for layers in self.changes.values() for change in layers.values())

    def weights_beside(self) -> tuple[int, int]:
        """Bytes that stand beside the model's layers once all were asked, and those of them that do now."""
        changes = [change for layers in self.changes.values() for change in layers.values()]
        return sum(one.beside_layer for one in changes), sum(one.beside_layer for one in changes if one.placed)


def read_file(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """All tensors, on the CPU in their own types, and the metadata. Raises `BrokenModel`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        header = read_header(path)
        return load_file(str(path)), header.metadata
    except (OSError, ValueError, SafetensorError) as error:
        raise BrokenModel(f"{path.name} cannot be read: {reason_of(error)}.") from error


def load_network(
    entry: NetworkEntry, denoiser: str, parts: Mapping[str, Any], *, rank: int | None = None, model: str = "the model"
) -> LoadedNetwork:
    """The network for those components. Layers that the model does not have are left out.

    Raises `BrokenModel` for a file that cannot be read, `UnsupportedFeature` when nothing of it fits the model or a
    layer has another size there.
    """
    tensors, metadata = read_file(entry.path)
    words = bundles_of(tensors)
    layers, strange = group_by_layer({name: one for name, one in tensors.items() if not name.startswith(BUNDLE)})
    index, config = LayerIndex(denoiser, parts), PeftConfig.of(entry.path, metadata)
    modules = {part: dict(module.named_modules()) for part, module in parts.items()}
    changes: dict[str, dict[str, Change]] = {}
    for name, found in layers.items():
        places = index.find(name)
        if not places:
            strange.append(name)
        for place in places:
            layer = modules[place.part][place.path]
            try:
                reading = config.reading(name, rank)
                changes.setdefault(place.part, {})[place.path] = build_change(found, layer, place, reading)
            except (BrokenModel, RuntimeError, KeyError, IndexError) as error:
                raise UnsupportedFeature(_misfit(entry, model, name, error)) from error
    if not changes:
        made_for = f" It was made for {entry.facts.base}." if entry.facts.base else ""
        raise UnsupportedFeature(f"No layer of the network {entry.name} is in {model}.{made_for}")
    return LoadedNetwork(entry, changes, words, tuple(strange), (state_of(entry.path), rank))


def state_of(path: Path) -> tuple[str, int]:
    """A file that was replaced is another file."""
    try:
        return str(path), path.stat().st_mtime_ns
    except OSError:
        return str(path), 0


def _misfit(entry: NetworkEntry, model: str, layer: str, error: Exception) -> str:
    made_for = f" It was made for {entry.facts.base}." if entry.facts.base else ""
    reason = error.message if isinstance(error, BrokenModel) else f"{type(error).__name__}: {reason_of(error)}"
    return f"The network {entry.name} does not fit {model}: at {layer}, {reason.rstrip('.')}.{made_for}"


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """The numbers that PEFT keeps outside its tensors, by component (an empty name is all)."""

    parts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, path: Path, metadata: Mapping[str, str]) -> PeftConfig:
        """From the file's metadata, else from the config beside it; empty where there is neither."""
        if PEFT_METADATA in metadata:
            try:
                flat = json.loads(metadata[PEFT_METADATA])
            except (ValueError, RecursionError):
                flat = {}
            parts: dict[str, dict[str, Any]] = {}
            for key, value in flat.items() if isinstance(flat, dict) else ():
                part, _, name = str(key).partition(".")
                parts.setdefault(part, {})[name] = value
            return cls(parts)
        beside = path.parent / PEFT_CONFIG
        return cls({"": read_json(beside)} if beside.is_file() else {})

    def reading(self, layer: str, rank: int | None) -> Reading:
        """How the tensors of a layer are read."""
        plain = Reading(rank)
        config = self.parts.get(layer.split(".", 1)[0]) or self.parts.get("")
        if config is None:
            return plain
        alpha = _by_pattern(config.get("alpha_pattern"), layer, config.get("lora_alpha", config.get("alpha")))
        width = _by_pattern(config.get("rank_pattern"), layer, config.get("r"))
        factor = None
        if isinstance(alpha, int | float) and isinstance(width, int) and width > 0:
            # rsLoRA (arXiv:2312.03732) divides by the root.
            factor = alpha / (width**0.5 if config.get("use_rslora") else width)
        return replace(plain, factor=factor, neumann=bool(config.get("use_cayley_neumann", True)))


def _by_pattern(patterns: Any, layer: str, default: Any) -> Any:
    """PEFT's own rule: the first pattern that a name ends with after a dot, or is as a whole."""
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        if re.fullmatch(rf"(?:.*\.)?(?:{re.escape(pattern.lstrip('^'))})", layer):
            return value
    return default
