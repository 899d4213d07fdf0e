"""Sizes of maps: at which size a preprocessor looks at a picture, and how its map comes to the drawing's size."""

from __future__ import annotations

import cv2
import numpy as np

from modules.contracts.control import RESIZE_MODES
from modules.control.preprocessors.base import Pixels

Size = tuple[int, int]
"""Width and height in pixels."""
STRETCH, CROP, FILL = RESIZE_MODES
USUAL = 512
"""Shorter side at which preprocessors look at a picture that nobody gave another."""
FEW_COLOURS = 64
"""A map of no more colours has edges that must not be smeared."""


def perfect_side(given: Size, target: Size, mode: str) -> int:
    """The shorter side at which the picture has the scale that it will have in the drawing."""
    across, down = target[0] / given[0], target[1] / given[1]
    scale = min(across, down) if mode == FILL else max(across, down)
    return max(round(scale * min(given)), 1)


def scale_to(image: Pixels, side: int) -> Pixels:
    """The picture with its shorter side of so many pixels and its proportions kept as far as whole pixels allow."""
    height, width = image.shape[:2]
    scale = side / min(height, width)
    return resize(image, (max(round(width * scale), 1), max(round(height * scale), 1)))


def resize(image: Pixels, size: Size, *, hard: bool = False) -> Pixels:
    """The picture at `size`: averaged when it shrinks, Lanczos when it grows; `hard` makes no new colours."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    shrinks = size[0] * size[1] < width * height
    way = cv2.INTER_NEAREST_EXACT if hard else cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


def fit(image: Pixels, size: Size, mode: str, *, hard: bool = False, fill: int | None = None) -> Pixels:
    """The map at exactly `size`: stretched, cut to cover it, or fitted inside with the border's median colour round it.

    `fill` is what stands round it instead of that colour.
    """
    height, width = image.shape[:2]
    across, down = size[0] / width, size[1] / height
    if mode == STRETCH or (width, height) == size:
        return resize(image, size, hard=hard)
    scale = max(across, down) if mode == CROP else min(across, down)
    inner = (round(width * scale), round(height * scale))
    inner = (max(inner[0], 1), max(inner[1], 1))
    if mode == CROP:
        inner = (max(inner[0], size[0]), max(inner[1], size[1]))
        scaled = resize(image, inner, hard=hard)
        left, top = (inner[0] - size[0]) // 2, (inner[1] - size[1]) // 2
        return scaled[top : top + size[1], left : left + size[0]]
    inner = (min(inner[0], size[0]), min(inner[1], size[1]))
    colour = _border(image) if fill is None else np.full(image.shape[2:], fill, np.uint8)
    canvas = np.broadcast_to(colour, (size[1], size[0], *image.shape[2:])).copy()
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = resize(image, inner, hard=hard)
    return canvas


def _border(image: Pixels) -> Pixels:
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    return np.median(np.concatenate(edges), axis=0).astype(np.uint8)
