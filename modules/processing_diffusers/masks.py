"""Masks: soft edges, the cut-out round them, colours to begin with, and the way back into the whole picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from modules.processing_diffusers.pictures import Size

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are outside."""


def soften_mask(mask: Image.Image, size: Size, *, blur: Size, invert: bool) -> Image.Image:
    """The mask at `size`, inverted when asked for, with a Gaussian edge.

    `blur` is its standard deviation in pixels, across and down.
    """
    if mask.size != size:
        mask = mask.resize(size, Image.Resampling.BILINEAR)
    if invert:
        mask = ImageOps.invert(mask)
    return mask.filter(ImageFilter.GaussianBlur(blur)) if any(blur) else mask


def fade_from(kept: Box, size: Size, reach: int) -> Image.Image:
    """A mask of `size` that is black in the box `kept` and rises to white over `reach` pixels about it."""
    left, top, right, bottom = kept
    across, down = np.arange(size[0]), np.arange(size[1])
    aside = np.maximum(np.maximum(left - across, across - right + 1), 0)
    above = np.maximum(np.maximum(top - down, down - bottom + 1), 0)
    far = np.hypot(aside[None, :], above[:, None])
    return Image.fromarray(np.round(np.clip(far / max(reach, 1), 0, 1) * 255).astype(np.uint8))


def find_region(mask: Image.Image, padding: int, aspect: float) -> Box | None:
    """The box round all non-black pixels, `padding` wider; None when the mask is all black.

    It is brought to width / height = `aspect` as far as there is room.
    """
    bounds = mask.getbbox()
    if bounds is None:
        return None
    left, right = _widen(bounds[0] - padding, bounds[2] + padding, 0, mask.width)
    top, bottom = _widen(bounds[1] - padding, bounds[3] + padding, 0, mask.height)
    width, height = right - left, bottom - top
    if width / height < aspect:
        left, right = _widen(left, right, min(round(height * aspect), mask.width), mask.width)
    else:
        top, bottom = _widen(top, bottom, min(round(width / aspect), mask.height), mask.height)
    return left, top, right, bottom


def _widen(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """An interval at least `length` long round [low, high), moved and cut to lie within [0, limit)."""
    low, high = max(low, 0), min(high, limit)
    missing = max(length - (high - low), 0)
    low, high = low - missing // 2, high + missing - missing // 2
    if low < 0:
        low, high = 0, high - low
    if high > limit:
        low, high = low - (high - limit), limit
    return max(low, 0), high


def spread_colours(image: Image.Image, mask: Image.Image) -> Image.Image:
    """`image` with what lies under the mask replaced by colours that flow in from its border.

    Push-pull: known pixels are averaged into ever coarser levels until every cell knows a colour, which is then carried
    back to the fine levels (Gortler et al., The Lumigraph, 1996, section 3.4).
    """
    known = (np.asarray(mask) == 0)[..., None].astype(np.float32)
    if not known.any():
        return image
    pixels = np.asarray(image, np.float32)
    filled = _pull(pixels * known, known)
    return Image.fromarray(np.clip(filled + 0.5, 0, 255).astype(np.uint8))


def _pull(weighted: Floats, weight: Floats) -> Floats:
    """Colours for every cell from sums of known colours and their weights, of shape (H, W, 3) and (H, W, 1)."""
    height, width = weight.shape[:2]
    colours = np.asarray(weighted / np.maximum(weight, 1e-6), np.float32)
    if (weight > 0).all() or (height == 1 and width == 1):
        return colours
    coarse = _pull(_halve(weighted), _halve(weight))
    lifted = Image.fromarray(np.clip(coarse + 0.5, 0, 255).astype(np.uint8))
    smooth = np.asarray(lifted.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    return (colours * weight + smooth * (1 - weight)).astype(np.float32)


def _halve(values: Floats) -> Floats:
    """Means of 2 x 2 cells; an odd edge is repeated."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    squares = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, -1)
    return np.asarray(squares.mean(axis=(1, 3)), np.float32)


def cells_to_repaint(mask: Image.Image, factor: int, *, whole: bool = True) -> Floats:
    """Shape (height / factor, width / factor): 1 for every latent cell with any pixel to repaint, else 0.

    Whole cells, so that the soft edge of the pixel mask lies within what was drawn anew. Without `whole` each cell has
    the mean of its pixels, 0 to 1.
    """
    values = np.asarray(mask, np.float32) / 255
    height, width = values.shape
    cells = values.reshape(height // factor, factor, width // factor, factor)
    return np.asarray(cells.max(axis=(1, 3)) > 0 if whole else cells.mean(axis=(1, 3)), np.float32)


def blend(drawn: Image.Image, original: Image.Image, mask: Image.Image) -> Image.Image:
    """`drawn` where the mask is white, `original` bit for bit where it is black, mixed between; all of one size."""
    share = np.asarray(mask, np.uint32)[..., None]
    mixed = (np.asarray(drawn, np.uint32) * share + np.asarray(original, np.uint32) * (255 - share) + 127) // 255
    return Image.fromarray(mixed.astype(np.uint8))
