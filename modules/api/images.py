"""Pictures as they travel in JSON: base64 in, base64 out."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from modules.contracts.errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
MAX_MEGAPIXELS = 64
ORIENTATION = 0x0112
"""The EXIF tag that says which side is up."""

UNREADABLE = (
    OSError, ValueError, SyntaxError, TypeError, IndexError, KeyError, EOFError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What PIL raises for files that are no pictures, broken or meant to harm."""


def decode_base64(text: Any, name: str) -> bytes:
    """The bytes of bare base64 or of a data URI with any parameters; `name` is the field, for the message.

    White space and missing padding are forgiven. An address is refused: the studio fetches nothing that a client names.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest(f"{name} is empty; a picture in base64 is needed.")
    text = text.strip()
    head = text[:8].lower()
    if head.startswith(("http://", "https://", "ftp://", "file:")):
        raise InvalidRequest(f"{name} is an address; pictures are not fetched, send the picture itself in base64.")
    if head.startswith("data:"):
        kind, comma, text = text.partition(",")
        if not comma or "base64" not in kind.lower().split(";"):
            raise InvalidRequest(f"{name} is a data URI without base64; 'data:image/png;base64,…' is needed.")
    packed = "".join(text.split())
    packed = packed.rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{name} is not base64; send the picture as bare base64 or as a data URI.") from error


def open_picture(data: bytes, name: str) -> Image.Image:
    """The decoded picture. Raises `InvalidRequest` for anything that is none, is cut off, or is too large."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_MEGAPIXELS * 1_000_000:
            raise InvalidRequest(
                f"{name} has {image.width} × {image.height} pixels; at most {MAX_MEGAPIXELS} megapixels are taken."
            )
        image.load()
    except UnidentifiedImageError as error:
        raise InvalidRequest(f"{name} is not a picture; {', '.join(FORMATS)} are understood.") from error
    except UNREADABLE as error:
        raise InvalidRequest(f"{name} is a broken picture: {error}.") from error
    return image


def read_picture(text: Any, name: str) -> bytes:
    """A picture to start from: the client's own bytes once they were seen to be whole, turned upright if need be."""
    data = decode_base64(text, name)
    image = open_picture(data, name)
    if image.getexif().get(ORIENTATION, 1) == 1:
        return data
    return to_png(ImageOps.exif_transpose(image))


def read_mask(text: Any, name: str) -> bytes:
    """A mask as grey PNG, white to be repainted. A picture that is transparent somewhere masks with its alpha."""
    image = ImageOps.exif_transpose(open_picture(decode_base64(text, name), name))
    if "A" in image.getbands() or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return to_png(alpha)
    return to_png(image.convert("L"))


def to_png(image: Image.Image) -> bytes:
    """PNG, packed quickly."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def to_base64(data: bytes) -> str:
    """Bare base64, as A1111's clients expect it."""
    return base64.b64encode(data).decode("ascii")
