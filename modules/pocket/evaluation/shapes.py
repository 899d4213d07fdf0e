"""Names the shape of a filled mask by the plane figure that it covers best.

The mask is brought to a common centre and area (moments of order nought and one) and laid over ideal figures of many
proportions, turned a little either way; the figure with the largest intersection over union gives the name. A circle
with one large hole about its middle is a ring.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.pocket.evaluation.colours import Picture

Corners = list[tuple[float, float]]

_SIDE = 64
_SCALE = 0.44
"""Root of a figure's area as a share of the side of the square that figures are compared in."""

_TURNS = range(-18, 19, 6)
_GOOD = 0.8
"""Least overlap with an ideal figure; below it the shape is "other"."""

_HOLE = 0.06
"""Least share of a ring that its hole takes."""


def name_shape(filled: Picture, hole: float = 0.0) -> str:
    """One of the eight plane figures, or "other".

    `filled` is a mask (height, width), uint8, of one thing without its holes; `hole` the share of it that its largest
    hole takes.
    """
    name, overlap = _compare(_normalise(filled))
    if overlap < _GOOD:
        return "other"
    return "ring" if name == "circle" and hole >= _HOLE else name


def _normalise(filled: Picture) -> NDArray[np.float32]:
    moments = cv2.moments(filled, binaryImage=True)
    area = max(1.0, moments["m00"])
    scale = _SIDE * _SCALE / math.sqrt(area)
    x, y = moments["m10"] / area, moments["m01"] / area
    middle = (_SIDE - 1) / 2
    move = np.asarray([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]], np.float32)
    moved = cv2.warpAffine(filled * 255, move, (_SIDE, _SIDE), flags=cv2.INTER_AREA)
    return np.asarray(moved > 127, np.float32)


def _compare(mask: NDArray[np.float32]) -> tuple[str, float]:
    """(name, intersection over union) of the ideal figure that fits best."""
    names, ideals = _ideals()
    flat = mask.ravel()
    both = ideals @ flat
    overlap = both / np.maximum(1, ideals.sum(axis=1) + flat.sum() - both)
    best = int(overlap.argmax())
    return names[best], float(overlap[best])


@lru_cache(maxsize=1)
def _ideals() -> tuple[tuple[str, ...], NDArray[np.float32]]:
    names, rows = [], []
    for name, corners in _figures():
        for turn in _TURNS:
            cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            points = [(x * cos + y * sin, y * cos - x * sin) for x, y in corners]
            large = np.zeros((512, 512), np.uint8)
            cv2.fillPoly(large, [np.asarray([(256 + 100 * x, 256 + 100 * y) for x, y in points], np.int32)], 1)
            names.append(name)
            rows.append(_normalise(large).ravel())
    return tuple(names), np.stack(rows)


def _figures() -> Iterator[tuple[str, Corners]]:
    """Ideal figures about the origin, y downwards, of about unit radius, in the proportions that occur."""
    yield "circle", _polygon(64, (1.0,))
    for wide in (0.85, 1.0, 1.18):
        yield "square", [(-wide, -1), (wide, -1), (wide, 1), (-wide, 1)]
        yield "triangle", [(x * wide, y) for x, y in _polygon(3, (1.0,))]
    for wide in (0.62, 0.72, 0.85, 1.0, 1.18):
        yield "diamond", [(-wide, 0), (0, -1), (wide, 0), (0, 1)]
    for inner in (0.35, 0.42, 0.5, 0.57):
        yield "star", _polygon(10, (1.0, inner))
    for half in (0.22, 0.3, 0.38, 0.45):
        yield "cross", _cross(half)
    for wide in (0.85, 1.0, 1.15):
        for radius in (0.51, 0.56, 0.64):
            yield "heart", [(x * wide, y) for x, y in _heart(radius)]


def _polygon(corners: int, radii: tuple[float, ...]) -> Corners:
    """Corners round a circle, the first one on top, their radii in turn."""
    turns = [2 * math.pi * place / corners for place in range(corners)]
    return [
        (radii[place % len(radii)] * math.sin(turn), -radii[place % len(radii)] * math.cos(turn))
        for place, turn in enumerate(turns)
    ]


def _cross(half: float) -> Corners:
    return [
        *((-half, -1), (half, -1), (half, -half), (1, -half), (1, half), (half, half)),
        *((half, 1), (-half, 1), (-half, half), (-1, half), (-1, -half), (-half, -half)),
    ]


def _heart(radius: float) -> Corners:
    """Two lobes of a radius of at least a half, and their tangents to the tip; a larger radius fills the notch."""
    x, y = 0.5, -0.4
    start = math.atan2(-math.sqrt(radius**2 - x**2), -x)
    to_tip, far = math.atan2(1 - y, -x), math.hypot(x, 1 - y)
    end = to_tip - math.acos(radius / far)
    turns = [start + (end - start) * place / 24 for place in range(25)]
    right = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    return [*right, (0.0, 1.0), *((-across, down) for across, down in reversed(right[1:]))]
