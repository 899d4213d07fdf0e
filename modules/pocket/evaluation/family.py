"""Finds what belongs to a model on disk: its inpainting and distilled siblings, its ControlNets, what adapters learned.

Siblings are diffusers folders beside the model whose names begin with its own ("pocket-inpaint", "pocket-turbo"), or
folders in it. ControlNets are told by the class in their configuration, wherever among those they lie, or in a folder
`controlnet` beside the model under a name that begins with the model's.

LoRAs and the textual inversion are told by the names of their files, there or in the folders for such beside the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modules.pocket.evaluation.known import PALETTES, SUBJECTS, TRACES
from modules.pocket.evaluation.pipelines import Adapter

_BESIDE = ("controlnet", "lora", "embeddings")
"""Folders beside the model that also hold its additions, under names that begin with the model's."""


@dataclass(frozen=True, slots=True)
class Family:
    """Where the members lie; what is not there is None or empty."""

    model: Path
    inpaint: Path | None = None
    turbo: Path | None = None
    controls: dict[str, Path] = field(default_factory=dict)
    """By a name of TRACES."""
    palettes: dict[str, Path] = field(default_factory=dict)
    """By a name of PALETTES."""
    adapters: dict[str, Adapter] = field(default_factory=dict)
    """By a name of SUBJECTS."""


def find_family(model: Path) -> Family:
    """The members of the family of the model in a folder; a model without a UNet is judged alone.

    Raises FileNotFoundError where no model is there.
    """
    index = model / "model_index.json"
    if not index.exists():
        raise FileNotFoundError(index)
    if not (model / "unet").is_dir():
        return Family(model)  # Additions and siblings belong to the model that has a UNet.
    folders = list(_folders(model))
    named = {path.name.removeprefix(f"{model.name}-"): path for path in folders if (path / "model_index.json").exists()}
    controls = {
        word: path for path in folders if _class_of(path) == "ControlNetModel" for word in TRACES if word in path.name
    }
    palettes = {
        word: path for path in folders if _class_of(path) == "T2IAdapter" for word in PALETTES if word in path.name
    }
    adapters = {
        name: Adapter(path, subject.token, subject.stand_in)
        for name, subject in SUBJECTS.items()
        for folder in folders
        # A1111's file of a textual inversion has no name for the word, diffusers' has.
        if (path := folder / f"{name}{'-diffusers' if subject.token else ''}.safetensors").exists()
    }
    return Family(model, named.get("inpaint"), named.get("turbo"), controls, palettes, adapters)


def _folders(model: Path) -> Iterator[Path]:
    """The model's folder and its siblings with all that is in them, then the folders for additions beside it."""
    for place in [model, *(path for path in sorted(model.parent.glob(f"{model.name}-*")) if path.is_dir())]:
        yield from sorted(path for path in place.glob("**") if path.is_dir())
    for beside in _BESIDE:
        yield model.parent / beside
        yield from sorted(path for path in (model.parent / beside).glob(f"{model.name}*/**") if path.is_dir())


def _class_of(folder: Path) -> str:
    path = folder / "config.json"
    return str(json.loads(path.read_text(encoding="utf-8")).get("_class_name", "")) if path.exists() else ""
