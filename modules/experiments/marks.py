"""What a cell is drawn from besides its request: checkpoints as they are on disk, and settings.

Files of networks, styles and wildcards are known by their names in the prompt alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modules.contracts.catalog import Catalog
from modules.contracts.errors import StudioError
from modules.contracts.request import GenerationRequest

TOUCHING = (
    "sd_vae",
    "upcast_vae_on_nan",
    "enable_prompt_comments",
    "img2img_fix_steps",
    "ESRGAN_tile",
    "ESRGAN_tile_overlap",
)
"""Settings that pixels depend on and that no parameter of a request says."""

Marks = Callable[[GenerationRequest, str], Mapping[str, Any]]


def marks_of(catalog: Catalog, settings: Callable[[str], Mapping[str, Any]]) -> Marks:
    """What a request leaves to files and settings: its checkpoints as they are on disk, its VAE, its owner's settings.

    `settings` gives all settings of an owner. A file that was changed is told by its size and time, as its hash may not
    be known yet.
    """

    def mark(request: GenerationRequest, owner: str) -> Mapping[str, Any]:
        wanted = (request.model.checkpoint, request.refiner.checkpoint, request.hires.checkpoint)
        names = [name for index, name in enumerate(wanted) if index == 0 or name]
        values = settings(owner)
        told = {key: values.get(key) for key in TOUCHING}
        return {"models": [_file(catalog, name) for name in names], "vae": catalog.default_vae(), "settings": told}

    return mark


def _file(catalog: Catalog, name: str | None) -> list[Any]:
    try:
        entry = catalog.find_model(name)
        told = entry.path.stat()
    except (StudioError, OSError):
        return [name]  # the job will say what is wrong with it
    return [entry.name, entry.size_bytes, told.st_mtime_ns]
