"""Pictures as they travel in JSON: base64 in, base64 out."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image, UnidentifiedImageError

from modules.contracts.errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP")
MAX_MEGAPIXELS = 64
MOST_MEGAPIXELS = 256
"""Of all pictures of one request together, its mask included."""
ORIENTATION = 0x0112
"""The EXIF tag that says which side is up."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings each of its values upright (EXIF 2.3, table of tag 274)."""
SIDEWAYS = {TURNS[value] for value in (5, 6, 7, 8)}
"""Those that make the width the height."""

UNREADABLE = (
    OSError, ValueError, SyntaxError, TypeError, IndexError, KeyError, EOFError, OverflowError,
    RuntimeError, struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What PIL raises for files that are no pictures, broken or meant to harm."""


def is_address(text: Any) -> bool:
    """Whether a text of a request is no picture, but says where one is."""
    return isinstance(text, str) and text.strip()[:8].lower().startswith(("http://", "https://", "ftp://", "file:"))


def decode_base64(text: Any, name: str) -> bytes:
    """The bytes of bare base64 or of a data URI with any parameters; `name` is the field, for the message.

    White space and missing padding are forgiven. An address is refused; `modules.api.fetched` is for those.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest(f"{name} is empty; a picture in base64 is needed.")
    text = text.strip()
    if is_address(text):
        raise InvalidRequest(f"{name} is an address; pictures are not fetched, send the picture itself in base64.")
    if text[:5].lower() == "data:":
        kind, comma, text = text.partition(",")
        if not comma or "base64" not in kind.lower().split(";"):
            raise InvalidRequest(f"{name} is a data URI without base64; 'data:image/png;base64,…' is needed.")
    packed = "".join(text.split())
    packed = packed.rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{name} is not base64; send the picture as bare base64 or as a data URI.") from error


class PixelBudget:
    """How many pixels the pictures of one request may still have."""

    def __init__(self) -> None:
        self._left = MOST_MEGAPIXELS * 1_000_000

    def take(self, size: tuple[int, int], name: str) -> None:
        """Raises `InvalidRequest` where the picture in that field is too large beside those before it."""
        self._left -= size[0] * size[1]
        if self._left < 0:
            raise InvalidRequest(
                f"All pictures together, up to {name}, have more than {MOST_MEGAPIXELS} megapixels; at most so many "
                "are taken with one request."
            )


def look_at(data: bytes, name: str) -> tuple[int, int]:
    """Width and height as the picture will stand upright, read from its head; no pixel is decoded.

    Raises `InvalidRequest` as `open_picture` does, as far as the head tells. Which side is up is read from what stands
    before the pixels.
    """
    with _reading(name):
        image = _opened(data, name)
        try:
            # Not the file's own method: that of PNG decodes the picture to find what stands behind it.
            side: Any = Image.Image.getexif(image).get(ORIENTATION)
        except UNREADABLE:
            side = None
        return (image.height, image.width) if TURNS.get(side) in SIDEWAYS else (image.width, image.height)


def open_picture(data: bytes, name: str) -> tuple[Image.Image, bool]:
    """The decoded picture, upright, and whether it had to be turned for that.

    Raises `InvalidRequest` for anything that is no picture, is cut off, or is too large.
    """
    with _reading(name):
        image = _opened(data, name)
        image.load()
        turn = TURNS.get(_orientation(image))
        shown = _of_eight_bits(image)
        return (shown if turn is None else shown.transpose(turn)), turn is not None


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of sixteen bits by its share of white; Pillow itself makes everything above 255 white."""
    if not image.mode.startswith("I"):
        return image
    return image.convert("I").point(lambda value: value / 257).convert("L")


def _opened(data: bytes, name: str) -> Image.Image:
    """The picture with its head read and nothing else."""
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_MEGAPIXELS * 1_000_000:
        raise InvalidRequest(
            f"{name} has {image.width} × {image.height} pixels; at most {MAX_MEGAPIXELS} megapixels are taken."
        )
    return image


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """What goes wrong inside, told of the field of that name."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise InvalidRequest(f"{name} is not a picture; {', '.join(FORMATS)} are understood.") from error
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidRequest(f"{name} is a broken picture: {reason}.") from error


def _orientation(image: Image.Image) -> Any:
    """Which side the camera says is up; a picture is not refused because of what is broken beside it."""
    try:
        return image.getexif().get(ORIENTATION)
    except UNREADABLE:
        return None


def read_picture(text: Any, name: str, read: Callable[[Any, str], bytes] = decode_base64) -> bytes:
    """A picture to start from, upright, encoded anew: nothing else that came with the client's file is kept."""
    image, _ = open_picture(read(text, name), name)
    return to_png(image)


def read_mask(text: Any, name: str, read: Callable[[Any, str], bytes] = decode_base64) -> bytes:
    """A mask as grey PNG, white to be repainted. A picture that is transparent somewhere masks with its alpha."""
    image, _ = open_picture(read(text, name), name)
    if "A" in image.getbands() or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return to_png(alpha)
    return to_png(image.convert("L"))


def to_png(image: Image.Image) -> bytes:
    """PNG, packed quickly; colour spaces that PNG does not know become RGB."""
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def to_base64(data: bytes) -> str:
    """Bare base64, as A1111's clients expect it."""
    return base64.b64encode(data).decode("ascii")
