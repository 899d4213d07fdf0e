"""Upscalers that work on finished pictures."""

from __future__ import annotations

from PIL import Image

METHODS = {
    # `None` leaves the enlarging to the final resize, as in A1111, and that is Lanczos.
    "None": Image.Resampling.LANCZOS,
    "Lanczos": Image.Resampling.LANCZOS,
    "Nearest": Image.Resampling.NEAREST,
}


def enlarge_image(image: Image.Image, size: tuple[int, int], name: str) -> Image.Image:
    """`image` at `size` (width, height) by the upscaler of that table name; `KeyError` for a latent one."""
    return image.resize(size, METHODS[name])
