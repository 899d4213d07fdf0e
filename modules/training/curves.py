"""Curves from a training's log: one panel for each figure, raw and smoothed over the steps, as a PNG."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 720, 240
"""Size of one panel in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 28, 30
"""Room around the field in which the curve runs."""
AXIS, GRID, INK, RAW, SMOOTH = (90, 90, 90), (228, 228, 228), (30, 30, 30), (170, 196, 232), (24, 92, 184)
NOT_CURVES = ("step", "seconds", "pictures", "cells", "skipped")
"""Beginnings of the names of figures that count or tell a size."""
SPREAD = 20.0
"""How many times the largest value has to be the smallest before a logarithmic scale pays."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to pixels along one axis, linear or by powers of ten."""

    low: float
    high: float
    start: int
    end: int
    logarithmic: bool = False

    def pixel(self, value: float) -> float:
        """Where the value lies."""
        low, high, here = (self._scaled(each) for each in (self.low, self.high, value))
        share = (here - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values within the axis: powers of ten with 2 and 5 between them, or multiples of 1, 2 or 5."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            powers = [10.0**power for power in range(first, last + 1)]
            every = [factor * power for power in powers for factor in (1, 2, 5)]
            inside = [[tick for tick in row if self.low <= tick <= self.high] for row in (powers, every)]
            return inside[0] if len(inside[0]) >= 3 else inside[1]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(span / wanted))
        stride = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= wanted)
        return [index * stride for index in range(math.ceil(self.low / stride), math.floor(self.high / stride) + 1)]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def read_log(path: Path) -> list[dict[str, float]]:
    """The numbers of a log in JSON lines, by step. A line cut off by a crash is left out.

    Steps that a resumed run went through again count once, as they were the last time.
    """
    rows: list[dict[str, float]] = []
    for line in path.read_text("utf-8").splitlines():
        try:
            given = json.loads(line)
        except json.JSONDecodeError:
            continue
        if not isinstance(given, dict):
            continue
        row = {name: float(value) for name, value in given.items() if isinstance(value, int | float)}
        if "step" not in row:
            continue
        while rows and rows[-1]["step"] >= row["step"]:
            rows.pop()
        rows.append(row)
    return rows


def smooth(values: Sequence[float]) -> list[float]:
    """Each value averaged with a fiftieth of them on either side, fewer near the ends and as many on both sides.

    So a straight line stays as it is, and a falling curve is not drawn behind its time.
    """
    sums = [0.0, *itertools.accumulate(values)]
    out = []
    for place in range(len(values)):
        reach = min(place, len(values) - 1 - place, max(1, len(values) // 50))
        out.append((sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1))
    return out


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether a curve says more on a logarithmic scale: all positive and spread widely."""
    return min(values) > 0 and max(values) / min(values) >= SPREAD


def is_curve(name: str, row: Mapping[str, float]) -> bool:
    """Whether a figure is to be drawn."""
    return not name.startswith(NOT_CURVES) and not (name == "loss" and "loss_now" in row)


def draw_curves(rows: Sequence[Mapping[str, float]], title: str = "") -> Image.Image:
    """One panel under the other for each figure of the rows; those without a finite value are left out.

    Where the rows have `loss_now`, the panel of the loss shows that and not the running average `loss`.
    Raises ValueError where there is nothing to draw.
    """
    curves: dict[str, list[Point]] = {}
    for row in rows:
        for name, value in row.items():
            if is_curve(name, row) and math.isfinite(value):
                curves.setdefault(name, []).append((row["step"], value))
    if not curves:
        raise ValueError("The log holds no figures to draw.")
    image = Image.new("RGB", (WIDTH, HEIGHT * len(curves)), "white")
    for place, (name, points) in enumerate(curves.items()):
        label = f"{title}: {name}" if title else name
        image.paste(_panel(label, points), (0, place * HEIGHT))
    return image


def save_curves(log: Path, target: Path) -> bool:
    """Draws the log's curves into `target`, whole or not at all; False where the log is missing or still empty."""
    rows = read_log(log) if log.exists() else []
    if not any(is_curve(name, row) for row in rows for name in row):
        return False
    beside = target.with_suffix(".part")
    draw_curves(rows, log.stem).save(beside, "PNG", optimize=True)
    os.replace(beside, target)
    return True


def _panel(label: str, points: Sequence[Point]) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    values = [value for _, value in points]
    logarithmic = is_logarithmic(values)
    across = Axis(points[0][0], points[-1][0], LEFT, WIDTH - RIGHT)
    low, high = (min(values), max(values)) if logarithmic else _roomy(min(values), max(values))
    up = Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    for tick in up.ticks():
        y = round(up.pixel(tick))
        pen.line([(LEFT, y), (WIDTH - RIGHT, y)], GRID)
        pen.text((LEFT - 6, y), f"{tick:.4g}", INK, font, anchor="rm")
    for tick in across.ticks(8):
        x = round(across.pixel(tick))
        pen.line([(x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 4)], AXIS)
        pen.text((x, HEIGHT - BOTTOM + 7), f"{tick:,.0f}", INK, font, anchor="ma")
    pen.line([(LEFT, TOP), (LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM)], AXIS)
    scale = ", logarithmic" if logarithmic else ""
    latest = values[-max(1, len(values) // 50) :]
    pen.text((LEFT, 8), f"{label}{scale}; at last {sum(latest) / len(latest):.4g}", INK, font)
    for heights, colour, width in ((values, RAW, 1), (smooth(values), SMOOTH, 2)):
        line = [(across.pixel(step), up.pixel(value)) for (step, _), value in zip(points, heights, strict=True)]
        if len(line) > 1:
            pen.line(line, colour, width)
        right, top = line[-1]
        pen.ellipse([right - width, top - width, right + width, top + width], colour)
    return image


def _roomy(low: float, high: float) -> Point:
    """Ends with a little room beyond the values, also where all are the same."""
    room = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    return low - room, high + room
