"""A finished picture as a file for a place that somebody chose, its format taken from the ending."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modules.contracts.errors import InvalidRequest
from modules.contracts.film import FILM_FORMATS
from modules.contracts.result import Film, Picture
from modules.outputs import metadata

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif", ".mp4": "mp4"}


def encode(picture: Picture, target: Path, *, quality: int = 90) -> bytes:
    """The bytes of a file named `target`, with infotext and recipe. Nothing is written.

    Raises `InvalidRequest` for an ending that stands for no format, or for one that does not hold what it is, and
    `UnsupportedFeature` for a format that this build cannot write.
    """
    fmt, content = format_of(target), picture.content
    if isinstance(content, Film):
        if fmt not in FILM_FORMATS:
            raise InvalidRequest(f"'{target.name}' cannot hold a film; {', '.join(FILM_FORMATS)} can.")
        content = replace(content, format=fmt)
    elif fmt in metadata.FILMS_ALONE:
        raise InvalidRequest(f"'{target.name}' holds films, and what was drawn is a picture that does not move.")
    return metadata.encode(content, fmt, infotext=picture.infotext, recipe=picture.recipe, quality=quality)


def format_of(target: Path) -> str:
    """The format that a file name asks for, ready to be written by this build."""
    fmt = FORMATS.get(target.suffix.lower())
    if fmt is None:
        raise InvalidRequest(f"'{target.name}' has no ending of a picture; known are {', '.join(FORMATS)}.")
    metadata.check_format(fmt)
    return fmt
