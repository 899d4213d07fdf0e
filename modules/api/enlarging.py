"""Pictures and upscalers of a request that makes pictures larger, for the old API and for ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modules.api.fetched import Source
from modules.api.images import open_picture, to_png
from modules.api.names import find_upscaler
from modules.contracts.catalog import Catalog
from modules.contracts.enlarging import LONGEST_INFOTEXT, NOTHING
from modules.contracts.errors import UnsupportedFeature
from modules.outputs.metadata import read_metadata


def read_enlarged(texts: Sequence[Any], name: str, read: Source) -> dict[str, tuple[Any, ...]]:
    """`images` and `infotexts` of an `EnlargeParams`: pictures upright and encoded anew, and what they said of
    themselves. `name` is the field, for messages. Blocks. Raises `InvalidRequest`."""
    images, infotexts = [], []
    for place, text in enumerate(texts):
        label = name if len(texts) == 1 else f"{name}[{place}]"
        data = read(text, label)
        images.append(to_png(open_picture(data, label)[0]))
        infotexts.append((read_metadata(data).infotext or "")[:LONGEST_INFOTEXT])
    return {"images": tuple(images), "infotexts": tuple(infotexts) if any(infotexts) else ()}


def find_picture_upscaler(catalog: Catalog, wanted: str | None) -> str:
    """The catalogue's name of an upscaler for finished pictures; nothing and `None` are `None`.

    Raises `InvalidRequest` for an unknown one and `UnsupportedFeature` for one that works on latents.
    """
    if not wanted or wanted.strip().casefold() == NOTHING.casefold():
        return NOTHING
    name = find_upscaler(catalog, wanted)
    if any(entry.latent for entry in catalog.upscalers() if entry.name == name):
        usable = ", ".join(entry.name for entry in catalog.upscalers() if not entry.latent and entry.problem is None)
        raise UnsupportedFeature(f"The upscaler {name!r} works on latents, in the hires pass only; here are {usable}.")
    return name
