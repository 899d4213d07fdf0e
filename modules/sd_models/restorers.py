"""Files of face restorers as rows of the catalogue: which there are, of which kind, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modules.contracts.catalog import RestorerEntry, RestorerKind
from modules.contracts.errors import BrokenModel
from modules.sd_models.header import read_header
from modules.sd_models.scan import find_files

KIND = "face_restorers"
MARKS: Mapping[RestorerKind, tuple[str, ...]] = {
    "gfpgan": ("toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight"),
    "restoreformer": ("quantize.embedding.weight", "quant_conv.weight", "encoder.conv_in.weight"),
    "codeformer": ("position_emb", "idx_pred_layer.1.weight"),
}
"""Tensors that only one kind has, as its published weights name them."""


def list_restorers(models: Path) -> tuple[RestorerEntry, ...]:
    """Files below the folders of that kind, sorted by name without case; a name that is taken gets its ending.

    Nothing but headers is read.
    """
    entries: dict[str, RestorerEntry] = {}
    for path in find_files(models, KIND):
        if path.is_file():
            name = path.stem if path.stem not in entries else path.name
            name = name if name not in entries else f"{path.parent.name}/{path.name}"
            entries[name] = _entry(name, path)
    return tuple(sorted(entries.values(), key=lambda entry: (entry.name.casefold(), entry.name)))


def _entry(name: str, path: Path) -> RestorerEntry:
    try:
        shapes = read_header(path).shapes
    except BrokenModel as error:
        return RestorerEntry(name, None, path, error.message)
    except OSError as error:
        return RestorerEntry(name, None, path, f"{path.name} cannot be read: {error.strerror}.")
    for kind, marks in MARKS.items():
        if all(mark in shapes for mark in marks):
            return RestorerEntry(name, kind, path)
    known = "GFPGAN (clean architecture), RestoreFormer and CodeFormer"
    return RestorerEntry(name, None, path, f"{path.name} is no face restorer that is known; known are {known}.")
