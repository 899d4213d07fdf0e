"""From the flags of `generate` to a `GenerationRequest`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from modules.bootstrap.flags import RECIPE
from modules.contracts.errors import InvalidRequest
from modules.contracts.film import FilmParams
from modules.contracts.request import (
    GenerationRequest,
    ImageParams,
    InpaintParams,
    OutputParams,
    PromptParams,
)
from modules.contracts.validation import validate
from modules.outputs.codec import format_of
from modules.outputs.metadata import FILMS_ALONE


def request_from(found: argparse.Namespace) -> GenerationRequest:
    """The request that the flags ask for; flags left out keep the declared defaults. Raises `InvalidRequest`."""
    if found.mask and not found.init:
        raise InvalidRequest("--mask was given without --init; the mask says which part of that picture is drawn anew.")
    given: dict[str, dict[str, Any]] = {}
    for name in RECIPE.values():
        value = getattr(found, name)
        if value is not None:
            group, _, field = name.partition(".")
            given.setdefault(group, {})[field] = value
    if "image" in given and not found.init:
        raise InvalidRequest("--denoise was given without --init; it says how far to go from that picture.")
    fmt = format_of(found.output)
    request = GenerationRequest(
        prompt=PromptParams(text=found.prompt),
        image=ImageParams(images=(_read(found.init, "--init"),)) if found.init else None,
        inpaint=InpaintParams(mask=_read(found.mask, "--mask")) if found.mask else None,
        # The person named the file; a second copy in the gallery was not asked for.
        output=OutputParams(save=False, format=fmt) if fmt not in FILMS_ALONE else OutputParams(save=False),
        film=FilmParams(format=fmt) if fmt in FILMS_ALONE else FilmParams(),
    )
    changed = {group: replace(getattr(request, group), **values) for group, values in given.items()}
    request = replace(request, **changed)
    validate(request)
    return request


def targets(output: Path, count: int) -> list[Path]:
    """The files of `count` pictures: FILE itself for one, FILE-1, FILE-2 … with its ending for several."""
    if count == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, count + 1)]


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{flag}: '{path}' cannot be read: {error.strerror or error}.") from error
