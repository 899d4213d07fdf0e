"""What a cell is drawn from besides its request: checkpoints and networks as they are on disk, styles, and settings.

Files of wildcards are known by their names in the prompt alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modules.contracts.catalog import Catalog
from modules.contracts.errors import StudioError
from modules.contracts.networks import NetworkEntry, NetworkKind, Networks, NoNetworks
from modules.contracts.prompts import NoPrompts, PromptShelf
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

HASH_SECONDS = 30.0
"""At most so long a mark waits for the hash of a network; after that its size and time stand in for it."""
_TAG = re.compile(r"<(?:lora|lyco):(?:name=)?([^<>:]+)", re.IGNORECASE)

Marks = Callable[[GenerationRequest, str], Mapping[str, Any]]


def marks_of(
    catalog: Catalog,
    settings: Callable[[str], Mapping[str, Any]],
    networks: Networks | None = None,
    prompts: PromptShelf | None = None,
) -> Marks:
    """What a request leaves to files and settings: its checkpoints as they are on disk, its VAE, what its networks
    weigh, what its styles say, its owner's settings.

    `settings` gives all settings of an owner. A file that was changed is told by its size and time, as its hash may not
    be known yet.
    """

    nets, book = networks or NoNetworks(), prompts or NoPrompts()

    def mark(request: GenerationRequest, owner: str) -> Mapping[str, Any]:
        wanted = (request.model.checkpoint, request.refiner.checkpoint, request.hires.checkpoint)
        names = [name for index, name in enumerate(wanted) if index == 0 or name]
        values = settings(owner)
        told = {key: values.get(key) for key in TOUCHING}
        chosen = {name.casefold() for name in request.prompt.styles}
        styles = [(one.name, one.prompt, one.negative) for one in book.styles() if one.name.casefold() in chosen]
        texts = [request.prompt.text, request.prompt.negative, request.hires.prompt, request.hires.negative]
        said = "\n".join([*texts, *(text for _, *both in styles for text in both)])
        return {
            "models": [_file(catalog, name) for name in names],
            "vae": catalog.default_vae(),
            "settings": told,
            "networks": sorted(_networks(nets, said)),
            "styles": styles,
        }

    return mark


def _file(catalog: Catalog, name: str | None) -> list[Any]:
    try:
        entry = catalog.find_model(name)
        told = entry.path.stat()
    except (StudioError, OSError):
        return [name]  # the job will say what is wrong with it
    return [entry.name, entry.size_bytes, told.st_mtime_ns]


def _networks(networks: Networks, said: str) -> Iterator[list[str]]:
    """Kind, name and content of each network that the words ask for."""
    low = said.casefold()
    named: list[tuple[NetworkKind, str]] = [("lora", name) for name in _TAG.findall(said)]
    named += [("embedding", one.name) for one in networks.list("embedding") if one.name.casefold() in low]
    for kind, name in dict.fromkeys(named):
        try:
            yield [kind, name, _content(networks.wait(networks.find(kind, name.strip()), HASH_SECONDS))]
        except (StudioError, OSError):
            yield [kind, name, ""]  # the job will say what is wrong with it


def _content(entry: NetworkEntry) -> str:
    told = entry.path.stat()
    return entry.data_hash or entry.sha256 or f"{told.st_size} {told.st_mtime_ns}"
