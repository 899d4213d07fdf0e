"""Pictures that say where something goes: edges, scribbles, maps of kinds, coarse colours. All are RGB, uint8.

They are what the preprocessors of an interface make from a picture, or a person draws, so control stages learn from
them. The ones that need to know what is where take it from the scene.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

from modules.pocket.scenes.vocabulary import KINDS
from modules.pocket.stages.samples import Pixels, Sample, cover, lines

Condition = Callable[[Sample, np.random.Generator], Pixels]
"""From a sample and chance to a picture of the same side."""

GRID = 8
"""Cells along a side of the coarse colours."""


def canny(sample: Sample, lot: np.random.Generator) -> Pixels:
    """White edges on black (Canny 1986), with thresholds about those that interfaces use."""
    low = float(lot.uniform(60, 140))
    return _rgb(cv2.Canny(sample.picture, low, low * float(lot.uniform(1.6, 2.4))))


def scribble(sample: Sample, lot: np.random.Generator) -> Pixels:
    """The outlines of the things' parts as drawn by hand: thin white lines, off by about a hundredth of the side."""
    side = sample.side
    canvas = np.zeros((side, side), np.uint8)
    width = max(1, round(side / 128 * lot.uniform(0.7, 2.0)))
    for thing in sample.scene.things:
        for line in lines(thing, side):
            points = _wobble(line.astype(np.float64), side / 160, lot)
            cv2.polylines(canvas, [np.round(points * 16).astype(np.int32)], True, 255, width, cv2.LINE_AA, 4)
    return _rgb(canvas)


def segmentation(sample: Sample, _lot: np.random.Generator) -> Pixels:
    """Each thing as a flat area in the colour of its kind, later things over earlier ones; the ground is black."""
    colours = palette()
    canvas = np.zeros_like(sample.picture)
    for thing in sample.scene.things:
        canvas[cover(thing, sample.side) > 0.5] = colours[thing.kind]
    return canvas


def colour_grid(sample: Sample, _lot: np.random.Generator) -> Pixels:
    """The picture in GRID by GRID flat cells of its mean colours."""
    side = sample.side
    small = cv2.resize(sample.picture, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)


def palette() -> dict[str, tuple[int, int, int]]:
    """The colour of each kind in a segmentation map: hues a golden angle apart, in three steps of brightness."""
    out = {}
    for place, kind in enumerate(KINDS):
        red, green, blue = colorsys.hsv_to_rgb(place * 0.61803 % 1, 0.9 - 0.25 * (place % 2), 1.0 - 0.25 * (place % 3))
        out[kind] = (round(red * 255), round(green * 255), round(blue * 255))
    return out


def _wobble(points: np.ndarray, size: float, lot: np.random.Generator) -> np.ndarray:
    """Moves a closed line about by a few slow waves of `size` pixels in all."""
    turn = np.linspace(0, 2 * np.pi, len(points), endpoint=False)[:, None]
    off = np.zeros_like(points)
    for wave in range(1, 6):
        off += lot.normal(0, size / wave, 2) * np.sin(wave * turn + lot.uniform(0, 2 * np.pi, 2))
    return points + off


def _rgb(grey: np.ndarray) -> Pixels:
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2)


CONDITIONS: dict[str, Condition] = {"canny": canny, "scribble": scribble, "segmentation": segmentation}
"""What a ControlNet of the family can follow."""
