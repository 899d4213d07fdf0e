"""The separate parts that a request names in place of the checkpoint's own: VAE and text encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.contracts.catalog import Catalog, FileEntry
from modules.contracts.errors import UnknownModel
from modules.contracts.plan import SeparateParts
from modules.contracts.request import ModelParams

OWN = frozenset({"", "automatic", "none"})
"""Words for the checkpoint's own."""


def find_parts(catalog: Catalog, model: ModelParams, settings: Mapping[str, Any]) -> SeparateParts:
    """What a request and the settings name. Raises `UnknownModel`."""
    return SeparateParts(find_vae(catalog, model.vae, settings), find_text_encoder(catalog, model.text_encoder))


def find_vae(catalog: Catalog, name: str | None, settings: Mapping[str, Any]) -> FileEntry | None:
    """The separate VAE that was asked for, by the request, else by the settings, else by whoever started the program.

    None is the checkpoint's own.
    """
    wanted = settings["sd_vae"] if name is None else name
    if name is None and wanted.lower() in OWN:
        wanted = catalog.default_vae() or wanted
    if wanted.lower() in OWN:
        return None
    return _named(catalog.vaes(), wanted, "VAE")


def find_text_encoder(catalog: Catalog, name: str | None) -> FileEntry | None:
    """The separate text encoder that was asked for; None is the checkpoint's own."""
    if name is None or name.lower() in OWN:
        return None
    return _named(catalog.text_encoders(), name, "text encoder")


def _named(entries: tuple[FileEntry, ...], wanted: str, kind: str) -> FileEntry:
    for entry in entries:
        if entry.name == wanted or entry.path.name == wanted:
            return entry
    known = ", ".join(entry.name for entry in entries) or "none"
    raise UnknownModel(f"There is no {kind} {wanted!r}; known are: {known}.")
