"""Pictures and upscalers of a request that makes pictures larger, for the old API and for ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from modules.api.images import open_picture, to_png
from modules.api.intake import Intake
from modules.api.names import find_upscaler
from modules.contracts.catalog import Catalog
from modules.contracts.enlarging import LONGEST_INFOTEXT, MOST, NOTHING
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.request import GenerationRequest
from modules.outputs.deep_png import repack
from modules.outputs.metadata import read_metadata


def fill_enlarged(intake: Intake, asked: GenerationRequest, texts: Sequence[Any], name: str) -> GenerationRequest:
    """The request with pictures to be made larger, upright and encoded anew, and with what they said of themselves.

    `name` is the field, for messages. Blocks. Raises `InvalidRequest`, and what the queue would raise.
    """
    assert asked.enlarge is not None
    if len(texts) > MOST:
        raise InvalidRequest(f"{len(texts)} pictures were given to be made larger; allowed are 1 to {MOST}.")
    labels = [name] if len(texts) == 1 else [f"{name}[{place}]" for place in range(len(texts))]
    given = [intake.look(text, label) for text, label in zip(texts, labels, strict=True)]
    heads = tuple(item.head for item in given)
    intake.ask(replace(asked, enlarge=replace(asked.enlarge, images=heads, infotexts=())))
    images, infotexts = [], []
    for item in given:
        data = intake.read(item)
        plain, _ = open_picture(data, item.name)
        images.append(repack(data) or to_png(plain))
        infotexts.append((read_metadata(data).infotext or "")[:LONGEST_INFOTEXT])
    found = tuple(infotexts) if any(infotexts) else ()
    return replace(asked, enlarge=replace(asked.enlarge, images=tuple(images), infotexts=found))


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
