"""What every detector is given and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""uint8 of shape (H, W, 3), RGB."""
Shape = NDArray[np.uint8]
"""uint8 of shape (H, W): 255 where the region is, else 0."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are outside."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to look for."""

    classes: tuple[str, ...] = ()
    """In small letters; empty is all."""
    confidence: float = 0.3


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """One find."""

    shape: Shape = field(repr=False)
    score: float
    """How sure the detector is, 0 to 1."""
    label: str = ""
    points: tuple[tuple[float, float], ...] = ()
    """Of a face, where the detector says so: both eyes, tip of the nose, both corners of the mouth, the left one in the
    picture first, in pixels."""

    @property
    def box(self) -> Box:
        """The smallest box round the shape, which is not empty."""
        rows, columns = np.flatnonzero(self.shape.any(axis=1)), np.flatnonzero(self.shape.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


Find = Callable[[Pixels, Wish], list[Region]]
"""Regions of a picture. The same picture gives the same regions in the same order."""


def boxed(size: tuple[int, int], box: Any, score: float, label: str = "") -> Region | None:
    """A region that is a box, given by four numbers in pixels and cut to the picture of that (width, height).

    None where nothing of it is in the picture.
    """
    width, height = size
    left, right = (int(np.clip(round(float(value)), 0, width)) for value in (box[0], box[2]))
    top, bottom = (int(np.clip(round(float(value)), 0, height)) for value in (box[1], box[3]))
    if left >= right or top >= bottom:
        return None
    shape = np.zeros((height, width), np.uint8)
    shape[top:bottom, left:right] = 255
    return Region(shape, float(score), label)


def split_classes(text: str) -> tuple[str, ...]:
    """The classes that a text names, parted by commas, in small letters."""
    return tuple(word for word in (part.strip().casefold() for part in text.split(",")) if word)
