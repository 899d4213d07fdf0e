"""Gives colours their names, one at a time or for every pixel of a picture.

A colour has the name of the nearest of the twelve colours of the vocabulary in CIELAB, where a difference in lightness
counts for less than one in hue: a paler red is still a red, as people name colours by hue first (Berlin and Kay, Basic
Color Terms, 1969).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.pocket.scenes.vocabulary import COLOURS

Picture = NDArray[np.uint8]
"""RGB, uint8, of shape (height, width, 3)."""

NAMES = tuple(COLOURS)

_LIGHTNESS = 0.6
"""What a difference in lightness weighs beside one along the axes of hue."""

_NEAR = 34.0
"""Pixels further than this from every named colour show none of them: sky, sand, shades between two colours."""


@dataclass(frozen=True, slots=True)
class Presence:
    """How much of a picture has a colour; both are shares of the picture's area."""

    share: float
    largest: float
    """Of the largest connected piece of that colour."""


def name_colour(colour: NDArray[np.float64]) -> str:
    """The name of an RGB colour of 0 to 255."""
    pixel = np.clip(colour, 0, 255).astype(np.uint8).reshape(1, 1, 3)
    return NAMES[int(_distances(pixel).argmin())]


def name_pixels(picture: Picture, limit: float = np.inf) -> NDArray[np.int64]:
    """The place in NAMES of every pixel's colour, of shape (height, width); -1 where none is within `limit`."""
    distances = _distances(picture)
    nearest = distances.argmin(axis=2)
    return np.where(distances.min(axis=2) <= limit, nearest, -1)


def mask_colour(picture: Picture, colour: str) -> Picture:
    """1 where a pixel has the colour, 0 elsewhere, uint8 (height, width). Raises ValueError for an unknown name."""
    if colour not in COLOURS:
        raise ValueError(f"no colour {colour!r}; there are {', '.join(NAMES)}")
    return (name_pixels(picture, _NEAR) == NAMES.index(colour)).astype(np.uint8)


def presence(picture: Picture, colour: str) -> Presence:
    """How much of the picture has the colour, whatever its ground. Raises ValueError for an unknown name."""
    mask = mask_colour(picture, colour)
    _, _, figures, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    largest = int(figures[1:, cv2.CC_STAT_AREA].max(initial=0))
    return Presence(float(mask.mean()), largest / mask.size)


def to_lab(picture: Picture) -> NDArray[np.float32]:
    """CIELAB of an RGB picture: lightness 0 to 100, then the two axes of hue, float32 of the same shape."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def measure_distance(lab: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance in CIELAB (height, width) of every pixel of `lab` (height, width, 3) to one colour (3,)."""
    lightness, first, second = (lab[..., axis] - other[axis] for axis in range(3))
    return np.sqrt(lightness**2 + first**2 + second**2)


def _distances(picture: Picture) -> NDArray[np.float32]:
    """Of every pixel to every named colour, (height, width, names), lightness counting for less."""
    weights = np.asarray((_LIGHTNESS, 1, 1), np.float32)
    named = to_lab(np.asarray(list(COLOURS.values()), np.uint8)[None])[0] * weights
    pixels = to_lab(picture) * weights
    squares = (pixels**2) @ np.ones((3, len(named)), np.float32) - 2 * pixels @ named.T + (named**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float32)
