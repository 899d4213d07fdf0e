"""`upscale`: finished pictures made larger, into the files that were named."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from modules.bootstrap.flags import ENLARGE, Command
from modules.cli.generate import carry_out
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest, OutputParams
from modules.contracts.validation import validate
from modules.outputs.codec import format_of
from modules.outputs.deep_png import repack
from modules.outputs.metadata import read_metadata


def run(command: Command) -> int:
    """0 when every picture is in its file; errors go up as `StudioError`, Ctrl-C stops the job between two tiles."""
    return carry_out(command, request_from(command.arguments))


def request_from(found: argparse.Namespace) -> GenerationRequest:
    """The request that the flags ask for; flags left out keep the declared defaults. Raises `InvalidRequest`."""
    values: dict[str, Any] = {}
    for name in ENLARGE.values():
        value = getattr(found, name)
        if value is not None:
            values[name.partition(".")[2]] = value
    if found.no_crop and not (values.get("width") and values.get("height")):
        raise InvalidRequest("--no-crop was given without --width and --height; it says what to keep beyond them.")
    read = [_read(path) for path in found.pictures]
    infotexts = tuple(text for _, text in read)
    request = GenerationRequest(
        enlarge=EnlargeParams(
            tuple(data for data, _ in read), infotexts if any(infotexts) else (), crop=not found.no_crop, **values
        ),
        # The person named the file; a second copy in the gallery was not asked for.
        output=OutputParams(save=False, format=format_of(found.output)),
    )
    validate(request)
    return request


def _read(path: Path) -> tuple[bytes, str]:
    """The picture as PNG, upright, and what it says of itself."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as given:
            image = ImageOps.exif_transpose(given)
            if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                image = image.convert("RGB")
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=1)
    except UnidentifiedImageError as error:
        raise InvalidRequest(f"'{path}' is not a picture; PNG, JPEG, WebP and the like are understood.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequest(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return repack(data) or buffer.getvalue(), read_metadata(data).infotext or ""
