"""A finished picture as a file for a place that somebody chose, its format taken from the ending."""

from __future__ import annotations

from pathlib import Path

from modules.contracts.errors import InvalidRequest
from modules.contracts.result import Picture
from modules.outputs import metadata

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif"}


def encode(picture: Picture, target: Path, *, quality: int = 90) -> bytes:
    """The bytes of a file named `target`, with infotext and recipe. Nothing is written.

    Raises `InvalidRequest` for an ending that stands for no format and `UnsupportedFeature` for a format that this
    build cannot write.
    """
    return metadata.encode(
        picture.image, format_of(target), infotext=picture.infotext, recipe=picture.recipe, quality=quality
    )


def format_of(target: Path) -> str:
    """The format that a file name asks for, ready to be written by this build."""
    fmt = FORMATS.get(target.suffix.lower())
    if fmt is None:
        raise InvalidRequest(f"'{target.name}' has no ending of a picture; known are {', '.join(FORMATS)}.")
    metadata.check_format(fmt)
    return fmt
