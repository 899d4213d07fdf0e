"""Pictures with sixteen bits a channel, read from PNG and interpolated.

Pillow has no mode for them: it reads the upper eight bits, and resizes fp32 channel by channel only.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from modules.upscalers.image import METHODS

TOP = 65_535.0
Pixels = NDArray[np.uint16]
TURNED: dict[int, Callable[[Any], Any]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels.swapaxes(0, 1), 2),
    8: np.rot90,
}
"""How pixels are set upright that lie as the orientation of EXIF says (EXIF 2.3, table of tag 274)."""


def read_deep(data: bytes) -> Pixels | None:
    """The upright pixels, (height, width, 3 or 4), of a sound PNG with sixteen bits a channel; None for anything else.

    Grey becomes three channels; a fourth one is left out where everything is opaque. Whoever calls has found the
    file sound and small enough.
    """
    # The depth is the 25th byte of a PNG (its specification, section 11.2.2).
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[24:25] != b"\x10":
        return None
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        return None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    with Image.open(io.BytesIO(data)) as image:
        turn = TURNED.get(image.getexif().get(ExifTags.Base.Orientation, 1), np.asarray)
    upright = turn(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    opaque = upright.shape[2] == 4 and bool((upright[..., 3] == TOP).all())
    return np.ascontiguousarray(upright[..., :3] if opaque else upright)


def enlarge_deep(pixels: Pixels, size: tuple[int, int], name: str) -> Pixels:
    """(height, width, channels) at `size` (width, height), by the upscaler of that table name.

    Colours of a picture with four channels are weighted by how opaque they are, so that none comes out of what is
    invisible. `KeyError` for a latent upscaler.
    """
    method, values = METHODS[name], pixels.astype(np.float32)
    soft = pixels.shape[2] == 4 and method != Image.Resampling.NEAREST
    if soft:
        values[..., :3] *= values[..., 3:] / TOP
    planes = [Image.fromarray(np.ascontiguousarray(values[..., n])) for n in range(pixels.shape[2])]
    made = np.stack([np.asarray(plane.resize(size, method)) for plane in planes], axis=2)
    if soft:
        opaque = made[..., 3:].clip(0, TOP)
        made[..., :3] *= np.divide(TOP, opaque, out=np.zeros_like(opaque), where=opaque >= 0.5)
    return made.round().clip(0, TOP).astype(np.uint16)
