"""Scenes as training samples: picture, words and scene, from a seed and a number, at any side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.pocket.scenes.captions import caption
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.masks import Mask, cover_part, place_parts
from modules.pocket.scenes.render import render
from modules.pocket.scenes.scene import Scene, Thing
from modules.pocket.stages.pictures import SEED

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture to learn from."""

    picture: Pixels
    """(side, side, 3), RGB."""
    text: str
    scene: Scene

    @property
    def side(self) -> int:
        """Width and height in pixels."""
        return len(self.picture)


Draw = Callable[[int, int], Sample]
"""From a number and a side to a sample; the same at every call. Picklable where workers are to make it."""


def world_sample(index: int, side: int) -> Sample:
    """Scene number `index` of the family's data set, with one wording of its caption."""
    scene = draw_scene(SEED, index)
    words = caption(scene, np.random.default_rng([SEED, index, 29])).text
    return Sample(render(scene, side), words, scene)


def cover(thing: Thing, side: int) -> NDArray[np.float32]:
    """How much of each pixel `thing` covers in the flat style, 0 to 1, float32 (side, side)."""
    whole = np.zeros((side, side), np.float32)
    for part in place_parts(thing, side):
        place = whole[_window(mask := cover_part(part, side))]
        np.maximum(place, np.asarray(mask.cover, np.float32) / 255, out=place)
    return whole


def lines(thing: Thing, side: int) -> list[NDArray[np.int32]]:
    """The closed outlines of the parts of `thing` that have one, each (points, 2) in pixels, x before y."""
    found: list[NDArray[np.int32]] = []
    for part in place_parts(thing, side):
        if part.lined:
            mask = cover_part(part, side, margin=1.0)
            shape = (np.asarray(mask.cover) > 127).astype(np.uint8)
            traced = cv2.findContours(shape, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
            found += [(line[:, 0, :] + np.array(mask.corner)).astype(np.int32) for line in traced]
    return found


def _window(mask: Mask) -> tuple[slice, slice]:
    left, top, right, bottom = mask.box
    return slice(top, bottom), slice(left, right)
