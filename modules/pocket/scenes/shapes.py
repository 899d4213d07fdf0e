"""The shapes that things are made of, as outlines in the plane: ellipses, splines, strokes and unions of discs.

Units are the thing's own: it fills about the circle of radius 1 around (0, 0), x to the right and y downward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
"""(points, 2), closed: the last point is joined to the first."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Part:
    """An area of one paint: everything inside any of the outlines and outside every hole."""

    role: str
    """What it is painted with, as `colours.find_paint` reads it."""
    outlines: tuple[Outline, ...]
    holes: tuple[Outline, ...] = field(default=())
    lined: bool = True
    """Whether styles that draw outlines outline it; whiskers and highlights are not."""


def fill(role: str, *outlines: Outline | Points, holes: Sequence[Outline] = (), lined: bool = True) -> Part:
    """A part from outlines or lists of points."""
    return Part(role, tuple(np.asarray(outline, np.float64) for outline in outlines), tuple(holes), lined)


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0, points: int = 40) -> Outline:
    """An ellipse with the given half-axes, turned clockwise by degrees."""
    return rotate(arc(0, 0, across, 0, 360, points, down), turn) + np.array([x, y])


def arc(
    x: float, y: float, radius: float, start: float, end: float, points: int = 24, down: float | None = None
) -> Outline:
    """Points from one angle to another (degrees, 0 to the right, 90 below); a whole turn leaves out the last."""
    angles = np.radians(np.linspace(start, end, points, endpoint=abs(end - start) < 360))
    return np.stack([x + radius * np.cos(angles), y + (radius if down is None else down) * np.sin(angles)], axis=1)


def rotate(outline: Outline, degrees: float) -> Outline:
    """Turned clockwise around (0, 0)."""
    if degrees == 0:
        return outline
    turn = np.radians(degrees)
    return outline @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def box(left: float, top: float, right: float, bottom: float, rounding: float = 0.0) -> Outline:
    """A rectangle with corners rounded by a radius."""
    if rounding <= 0:
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    turn = rounding
    return np.concatenate(
        [
            arc(right - turn, top + turn, turn, -90, 0, 7),
            arc(right - turn, bottom - turn, turn, 0, 90, 7),
            arc(left + turn, bottom - turn, turn, 90, 180, 7),
            arc(left + turn, top + turn, turn, 180, 270, 7),
        ]
    )


def spline(points: Points | Outline, steps: int = 6, closed: bool = True) -> Outline:
    """A smooth curve through the points (Catmull and Rom 1974, uniform)."""
    knots = np.asarray(points, np.float64)
    ends = (knots[-1:], knots[:2]) if closed else (knots[:1], knots[-1:])
    knots = np.concatenate([ends[0], knots, ends[1]])
    way = (np.arange(steps) / steps)[None, :, None]
    before, start, end, after = (knots[i : len(knots) - 3 + i, None, :] for i in range(4))
    curve: Any = 0.5 * (
        2 * start
        + (end - before) * way
        + (2 * before - 5 * start + 4 * end - after) * way**2
        + (3 * start - before - 3 * end + after) * way**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def stroke(points: Points | Outline, width: float, tip: float | None = None) -> Outline:
    """A line of a width with round ends, `tip` wide at its end if that differs; it must not bend sharply."""
    way = np.asarray(points, np.float64)
    along = np.gradient(way, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.linspace(width, width if tip is None else tip, len(way))[:, None] / 2
    last = float(np.degrees(np.arctan2(along[-1, 1], along[-1, 0])))
    first = float(np.degrees(np.arctan2(along[0, 1], along[0, 0])))
    end = arc(way[-1, 0], way[-1, 1], float(half[-1, 0]), last + 90, last - 90, 7)
    start = arc(way[0, 0], way[0, 1], float(half[0, 0]), first - 90, first - 270, 7)
    return np.concatenate([way + across * half, end, (way - across * half)[::-1], start])


def merge_discs(discs: Sequence[tuple[float, float, float]], base: float | None = None, points: int = 72) -> Outline:
    """Outline of the union of discs (x, y, radius) of which all hold (0, 0) or touch one that does; flat below `base`.

    It is traced along rays from (0, 0), which has to lie inside.
    """
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    reach = np.zeros(points)
    for x, y, radius in discs:
        along = rays @ np.array([x, y])
        inside = along**2 - (x * x + y * y - radius * radius)
        reach = np.maximum(reach, np.where(inside >= 0, along + np.sqrt(np.maximum(inside, 0)), 0))
    if base is not None:
        down = rays[:, 1]
        reach = np.where(down > 1e-6, np.minimum(reach, base / np.maximum(down, 1e-6)), reach)
    return rays * reach[:, None]


def refine(outline: Outline, longest: float) -> Outline:
    """The same outline with points added so that none of its edges is longer than `longest`."""
    after = np.roll(outline, -1, axis=0)
    lengths = np.linalg.norm(after - outline, axis=1)
    steps = np.maximum(1, np.ceil(lengths / longest)).astype(int)
    if steps.max() == 1:
        return outline
    start = np.repeat(np.arange(len(outline)), steps)
    way = np.concatenate([np.arange(count) / count for count in steps])[:, None]
    return outline[start] + (after - outline)[start] * way


def mirror(parts: Sequence[Part]) -> list[Part]:
    """The parts seen from the other side."""
    flip = np.array([-1.0, 1.0])
    return [
        Part(part.role, tuple(o * flip for o in part.outlines), tuple(o * flip for o in part.holes), part.lined)
        for part in parts
    ]


def normalise(parts: Sequence[Part]) -> list[Part]:
    """The parts moved and scaled so that the middle of their bounds is (0, 0) and their farthest point is at 1."""
    everything = np.concatenate([outline for part in parts for outline in part.outlines])
    middle = (everything.min(axis=0) + everything.max(axis=0)) / 2
    scale = 1 / float(np.linalg.norm(everything - middle, axis=1).max())
    return [
        Part(
            part.role,
            tuple((o - middle) * scale for o in part.outlines),
            tuple((o - middle) * scale for o in part.holes),
            part.lined,
        )
        for part in parts
    ]
