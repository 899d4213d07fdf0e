"""Encoded pictures of a request as RGB images of the right size. Pillow only."""

from __future__ import annotations

import io

from PIL import Image, ImageOps, UnidentifiedImageError

from modules.contracts.errors import InvalidRequest

MAX_PIXELS = 80_000_000
"""Larger pictures are refused before they are unpacked."""
BACKGROUND = (255, 255, 255)
Size = tuple[int, int]
"""Width and height in pixels."""


def decode_picture(data: bytes, label: str) -> Image.Image:
    """An upright RGB picture; transparent parts become white. Raises `InvalidRequest` naming `label`."""
    image = _open(data, label)
    if image.mode.startswith("I"):
        image = image.point(lambda value: value / 257).convert("L") if image.mode == "I" else _from_16_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(canvas, image)
    return image.convert("RGB")


def decode_layers(data: bytes, label: str) -> Image.Image:
    """An upright picture, RGBA where something may be transparent, else RGB. Raises `InvalidRequest`."""
    image = _open(data, label)
    return image.convert("RGBA") if image.has_transparency_data else decode_picture(data, label)


def decode_mask(data: bytes, label: str) -> Image.Image:
    """An upright mask of mode L, white where to repaint: the alpha channel where it is used, else brightness."""
    image = _open(data, label)
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return alpha
        image = image.convert("RGB")
    return _from_16_bit(image) if image.mode.startswith("I;16") else image.convert("L")


def _open(data: bytes, label: str) -> Image.Image:
    if not data:
        raise InvalidRequest(f"{label} is empty; a PNG, JPEG, WebP or other common picture is needed.")
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            most = MAX_PIXELS // 1_000_000
            raise InvalidRequest(
                f"{label} has {image.width}x{image.height} pixels; at most {most} million are allowed."
            )
        image.load()
        return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise InvalidRequest(
            f"{label} is not a picture ({len(data)} bytes of something else); send PNG, JPEG, WebP or the like."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InvalidRequest(f"{label} cannot be read as a picture ({error}); it may be cut off or damaged.") from error


def _from_16_bit(image: Image.Image) -> Image.Image:
    return image.convert("I").point(lambda value: value / 257).convert("L")


def resize_picture(image: Image.Image, size: Size, mode: str) -> Image.Image:
    """`image` at `size`: `stretch`, `crop` (cover, cut the rest), or `fill` (fit inside, spread the border colours)."""
    if image.size == size:
        return image
    if mode == "crop":
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    if mode == "fill":
        return _fit_inside(image, size)
    return image.resize(size, Image.Resampling.LANCZOS)


def _fit_inside(image: Image.Image, size: Size) -> Image.Image:
    width, height = size
    ratio = min(width / image.width, height / image.height)
    inner = image.resize(
        (max(round(image.width * ratio), 1), max(round(image.height * ratio), 1)), Image.Resampling.LANCZOS
    )
    left, top = (width - inner.width) // 2, (height - inner.height) // 2
    right, bottom = left + inner.width, top + inner.height
    canvas = Image.new(image.mode, size)
    canvas.paste(inner, (left, top))
    if left > 0:
        canvas.paste(inner.crop((0, 0, 1, inner.height)).resize((left, height)), (0, 0))
    if right < width:
        canvas.paste(
            inner.crop((inner.width - 1, 0, inner.width, inner.height)).resize((width - right, height)), (right, 0)
        )
    if top > 0:
        canvas.paste(inner.crop((0, 0, inner.width, 1)).resize((width, top)), (0, 0))
    if bottom < height:
        canvas.paste(
            inner.crop((0, inner.height - 1, inner.width, inner.height)).resize((width, height - bottom)), (0, bottom)
        )
    return canvas
