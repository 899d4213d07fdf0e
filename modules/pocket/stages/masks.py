"""Masks for inpainting: boxes, strokes, things with or without room around them, and everything."""

from __future__ import annotations

import cv2
import numpy as np

from modules.pocket.stages.samples import Pixels, Sample, cover

SHARES = {"box": 0.2, "strokes": 0.2, "thing": 0.25, "around": 0.2, "whole": 0.15}
"""How often each kind of mask is drawn."""


def draw_mask(sample: Sample, lot: np.random.Generator, kind: str | None = None) -> Pixels:
    """uint8 (side, side), 255 where the picture is to be made anew, else 0; never empty. `kind` of SHARES or by lot."""
    chosen = kind or str(lot.choice(list(SHARES), p=list(SHARES.values())))
    side = sample.side
    canvas = np.zeros((side, side), np.uint8)
    if chosen == "whole" or (chosen in ("thing", "around") and not sample.scene.things):
        return canvas + np.uint8(255)
    if chosen == "box":
        (left, right), (top, bottom) = (_span(side, lot) for _ in range(2))
        canvas[top:bottom, left:right] = 255
    elif chosen == "strokes":
        _strokes(canvas, lot)
    elif chosen == "thing":
        _silhouettes(canvas, sample, lot)
    elif chosen == "around":
        _rooms(canvas, sample, lot)
    else:
        raise ValueError(f"There is no kind of mask {chosen!r}; there are {', '.join(SHARES)}.")
    if not canvas.any():
        canvas[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    return canvas


def _span(side: int, lot: np.random.Generator) -> tuple[int, int]:
    length = round(side * float(lot.uniform(0.2, 0.8)))
    start = int(lot.integers(0, side - length + 1))
    return start, start + length


def _strokes(canvas: Pixels, lot: np.random.Generator) -> None:
    """Some broken lines as wide as a brush."""
    side = len(canvas)
    for _ in range(int(lot.integers(1, 4))):
        points = [lot.uniform(0, side, 2)]
        for _ in range(int(lot.integers(2, 6))):
            points.append(np.clip(points[-1] + lot.normal(0, side * 0.25, 2), 0, side - 1))
        way = np.round(points).astype(np.int32)
        cv2.polylines(canvas, [way], False, 255, max(2, round(side * float(lot.uniform(0.08, 0.22)))))


def _chosen(sample: Sample, lot: np.random.Generator) -> list[int]:
    """Mostly all things, so that the words tell what has to come; else one of them."""
    count = len(sample.scene.things)
    return list(range(count)) if lot.random() < 0.75 else [int(lot.integers(count))]


def _silhouettes(canvas: Pixels, sample: Sample, lot: np.random.Generator) -> None:
    side = sample.side
    grown = max(1, round(side * float(lot.uniform(0.01, 0.06))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1, 2 * grown + 1))
    for place in _chosen(sample, lot):
        shape = (cover(sample.scene.things[place], side) > 0.3).astype(np.uint8)
        canvas[cv2.dilate(shape, kernel) > 0] = 255


def _rooms(canvas: Pixels, sample: Sample, lot: np.random.Generator) -> None:
    """A box or an ellipse about each thing, larger than it, so that the mask does not give the shape away."""
    side = sample.side
    for place in _chosen(sample, lot):
        thing = sample.scene.things[place]
        across, down = (thing.radius * side * float(lot.uniform(1.25, 1.9)) for _ in range(2))
        x, y = thing.x * side, thing.y * side
        if lot.random() < 0.5:
            corners = np.clip(np.round([x - across, y - down, x + across, y + down]), 0, side).astype(int)
            canvas[corners[1] : corners[3], corners[0] : corners[2]] = 255
        else:
            cv2.ellipse(canvas, (round(x), round(y)), (round(across), round(down)), 0, 0, 360, 255, -1)
