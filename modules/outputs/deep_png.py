"""Pictures of sixteen bits a channel as PNG, which Pillow cannot write: OpenCV packs the pixels, texts are put in."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modules.upscalers.deep import read_deep

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

LEVEL = 4
"""Of compression, as for other PNG files."""
_HEAD = 8 + 25
"""Bytes of the signature and of the first chunk, IHDR; others may stand anywhere after it."""


def pack(pixels: NDArray[np.uint16], texts: PngInfo) -> bytes:
    """A PNG file of (height, width, 3 or 4) with RGB or RGBA of sixteen bits, and those texts before the pixels."""
    import cv2

    order = [2, 1, 0, 3][: pixels.shape[2]]
    packed, found = cv2.imencode(".png", np.ascontiguousarray(pixels[..., order]), [cv2.IMWRITE_PNG_COMPRESSION, LEVEL])
    if not packed:
        raise ValueError(f"A picture of shape {pixels.shape} could not be packed as PNG.")
    data = found.tobytes()
    between = b"".join(_chunk(name, body) for name, body, *_ in texts.chunks)
    return data[:_HEAD] + between + data[_HEAD:]


def repack(data: bytes) -> bytes | None:
    """A sound PNG of sixteen bits a channel anew, upright and with nothing beside its pixels; None for other files."""
    from PIL.PngImagePlugin import PngInfo

    pixels = read_deep(data)
    return None if pixels is None else pack(pixels, PngInfo())


def _chunk(name: bytes, body: bytes) -> bytes:
    """Length, name, content and checksum, as section 5.3 of the PNG specification has them."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
