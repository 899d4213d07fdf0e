"""The property of LoRAs and textual inversions: what was learned is there at weight 1, not at 0, in between in between.

What a style or a new thing looks like is not known beforehand, so presence is measured against examples: pictures with
it and pictures without. Classical features (shares of the named colours, strength and direction of edges, texture, the
outline of the largest thing) span a line from the mean of those without (0) to the mean of those with (1); its
direction is the one that parts the two best, that of regularised discriminant analysis (Friedman, 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.pocket.evaluation.bars import Bar, Finding, Shown
from modules.pocket.evaluation.colours import NAMES, Picture, name_pixels, to_lab
from modules.pocket.evaluation.drawing import Draw, Manner, Pictures
from modules.pocket.evaluation.judge import things_mask

PRESENT, ABSENT = 0.7, 0.3
"""Mean presence: least at weight 1, most at weight 0."""
STEP = 0.05
"""Least rise of presence from weight 0 to one half, and from there to 1."""

_SIDE = 128
_OUTLINE = 10
_SHRINKAGE = 0.3


@dataclass(frozen=True, slots=True)
class Learned:
    """Something that an adapter has learned."""

    adapter: str
    """Its name in orders."""
    prompts: tuple[str, ...]
    """What is asked for; with the word of a textual inversion in it."""
    shown: Pictures
    """Examples with what was learned."""
    unshown: Pictures
    """Examples without."""


class Presence:
    """How far a picture lies on the way from pictures without something (0) to pictures with it (1)."""

    def __init__(self, shown: Sequence[Picture], unshown: Sequence[Picture]) -> None:
        """Raises ValueError with fewer than four examples of either, or where no feature parts them."""
        if min(len(shown), len(unshown)) < 4:
            raise ValueError(f"four examples of either are needed; given {len(shown)} with and {len(unshown)} without")
        with_it = np.stack([_describe(picture) for picture in shown])
        without = np.stack([_describe(picture) for picture in unshown])
        self._start = without.mean(axis=0)
        way = with_it.mean(axis=0) - self._start
        apart = np.concatenate([with_it - with_it.mean(axis=0), without - self._start])
        spread = apart.T @ apart / len(apart)
        # Fewer examples than features: the covariance is drawn towards its diagonal, which alone is known well.
        shrunk = (1 - _SHRINKAGE) * spread + _SHRINKAGE * np.diag(np.diag(spread)) + 1e-3 * np.eye(len(way))
        self._weights = np.linalg.solve(shrunk, way)
        self._length = float(way @ self._weights)
        if self._length < 1e-6:
            raise ValueError("the examples with and without do not differ in any feature")

    def measure(self, picture: Picture) -> float:
        """Presence in one picture: about 0 without and 1 with it, never below -0.5 or above 1.5."""
        along = float((_describe(picture) - self._start) @ self._weights) / self._length
        return min(1.5, max(-0.5, along))


def measure_learned(draw: Draw, learned: Learned, manner: Manner) -> Finding:
    """Mean presence at weights 0, one half and 1."""
    presence = Presence(list(learned.shown), list(learned.unshown))
    order = replace(manner.order(learned.prompts), adapter=learned.adapter)
    values: dict[float, float] = {}
    shown: list[Shown] = []
    for weight in (0.0, 0.5, 1.0):
        pictures = draw(replace(order, weight=weight))
        found = [presence.measure(picture) for picture in pictures]
        values[weight] = float(np.mean(found))
        shown += [
            Shown(picture, (one - 0.5) * (weight - 0.5) >= 0) for picture, one in zip(pictures, found, strict=True)
        ]
    bars = (
        Bar("presence_at_1", values[1.0], PRESENT),
        Bar("presence_at_0", values[0.0], ABSENT, least=False),
        Bar("least_step", min(values[0.5] - values[0.0], values[1.0] - values[0.5]), STEP),
    )
    figures = {"prompts": len(learned.prompts), "presence_at_0.5": round(values[0.5], 4)}
    return Finding(bars, figures, tuple(shown))


def _describe(picture: Picture) -> NDArray[np.float64]:
    """Features of a picture, each about 0 to 1."""
    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    colours = np.bincount(name_pixels(small).ravel(), minlength=len(NAMES)) / small[..., 0].size
    lab = to_lab(small) / 100
    across = cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0)
    down = cv2.Sobel(lab[..., 0], cv2.CV_32F, 0, 1)
    strength, direction = np.hypot(across, down), np.mod(np.arctan2(down, across), np.pi)
    bins, _ = np.histogram(direction, bins=8, range=(0, np.pi), weights=strength)
    edges = bins / max(float(bins.sum()), 1e-6)
    texture = [float(np.abs(lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), width)).mean()) for width in (1, 3, 9)]
    chroma = np.linalg.norm(lab[..., 1:], axis=2)
    overall = [float(strength.mean()), float(chroma.mean()), float(chroma.std()), float(lab[..., 0].mean())]
    outline = _outline(small) / _OUTLINE
    return np.concatenate([colours, edges, 10 * np.asarray(texture), overall, outline.ravel()])


def _outline(picture: Picture) -> NDArray[np.float64]:
    """What stands out, cut to its box and brought to one size; zeros where nothing does."""
    mask = things_mask(picture).astype(np.uint8)
    left, top, wide, high = cv2.boundingRect(mask)
    if not wide or not high:
        return np.zeros((_OUTLINE, _OUTLINE))
    cut = mask[top : top + high, left : left + wide].astype(np.float32)
    return np.asarray(cv2.resize(cut, (_OUTLINE, _OUTLINE), interpolation=cv2.INTER_AREA), np.float64)
