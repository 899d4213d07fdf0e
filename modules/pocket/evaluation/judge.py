"""Says what a picture shows by classical image analysis: ground, colour, shape, number and place of the things.

It shares no code with the renderer or with any model, so what it says of a drawn picture is evidence. How often it is
right about rendered scenes, style by style, is in docs/pocket/evaluation.md and in its test; that bounds how much a
figure of a model can be off.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.pocket.evaluation.colours import NAMES, Picture, mask_colour, name_colour, name_pixels
from modules.pocket.evaluation.segments import Segment, find_core, find_ground, find_segments, stand_out
from modules.pocket.evaluation.shapes import name_shape

_ASIDE = 0.1
"""How far from the middle, as a share of the side, a thing stands that is at a side of the picture."""


@dataclass(frozen=True, slots=True)
class Box:
    """Upright box round a thing; lengths are shares of the picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a picture shows; `shape` and `colour` are "none" and `count` is 0 where nothing stands out."""

    ground: str
    colour: str
    """The colour that most of all things have."""
    shape: str
    """Of the largest thing: one of the eight plane figures, or "other"."""
    count: int
    centre: tuple[float, float]
    """Of the largest thing's box, as shares of width and height; (0.5, 0.5) where there is nothing."""
    cover: float
    """Share of the picture that things cover."""
    boxes: tuple[Box, ...]
    """One for each thing, the largest first."""

    @property
    def place(self) -> str:
        """Where the largest thing stands, in the words of the vocabulary: "middle", "left", "top left" …"""
        x, y = self.centre
        across = "left" if x < 0.5 - _ASIDE else "right" if x > 0.5 + _ASIDE else ""
        down = "top" if y < 0.5 - _ASIDE else "bottom" if y > 0.5 + _ASIDE else ""
        return f"{down} {across}".strip() or "middle"


def judge(picture: Picture) -> Verdict:
    """Looks at an RGB picture, uint8 (height, width, 3) of any size, that shows things on a plain ground."""
    ground = find_ground(picture)
    return _describe(picture, stand_out(picture, ground), name_colour(ground))


def find(picture: Picture, colour: str) -> Verdict:
    """Looks for things of one colour, whatever the ground. Raises ValueError for a colour that has no name."""
    return _describe(picture, mask_colour(picture, colour), name_colour(find_ground(picture)))


def things_mask(picture: Picture) -> NDArray[np.bool_]:
    """Where things stand on a plain ground, (height, width), their holes included."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    for segment in find_segments(stand_out(picture, find_ground(picture))):
        mask |= segment.filled
    return np.asarray(mask > 0)


def _describe(picture: Picture, mask: Picture, ground: str) -> Verdict:
    segments = find_segments(mask)
    if not segments:
        return Verdict(ground, "none", "none", 0, (0.5, 0.5), 0.0, ())
    boxes = tuple(_box(segment) for segment in segments)
    cover = sum(segment.area for segment in segments) / mask.size
    centre = ((boxes[0].left + boxes[0].right) / 2, (boxes[0].top + boxes[0].bottom) / 2)
    shape = name_shape(segments[0].filled, segments[0].hole)
    return Verdict(ground, _main_colour(picture, mask, segments), shape, len(segments), centre, cover, boxes)


def _main_colour(picture: Picture, mask: Picture, segments: list[Segment]) -> str:
    cores = np.logical_or.reduce([find_core(segment, mask) for segment in segments])
    names = name_pixels(picture[cores][None])[0]
    return NAMES[int(np.bincount(names, minlength=len(NAMES)).argmax())]


def _box(segment: Segment) -> Box:
    left, top, wide, high = cv2.boundingRect(segment.filled)
    height, width = segment.filled.shape
    return Box(left / width, top / height, (left + wide) / width, (top + high) / height)
