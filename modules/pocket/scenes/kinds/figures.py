"""The plane figures: one area of the main colour each, so that their shape can be measured."""

from __future__ import annotations

from random import Random

import numpy as np

from modules.pocket.scenes.shapes import Part, arc, box, ellipse, fill


def draw_circle(lot: Random) -> list[Part]:
    """A disc."""
    return [fill("main", ellipse(0, 0, 1, 1, points=64))]


def draw_square(lot: Random) -> list[Part]:
    """A square."""
    return [fill("main", box(-1, -1, 1, 1))]


def draw_triangle(lot: Random) -> list[Part]:
    """A triangle that stands on its base, about as high as wide."""
    tip = lot.uniform(-0.12, 0.12)
    return [fill("main", [(tip, -lot.uniform(0.82, 1.0)), (0.96, 0.7), (-0.96, 0.7)])]


def draw_star(lot: Random) -> list[Part]:
    """A star of five points."""
    inner = lot.uniform(0.4, 0.5)
    angles = np.radians(-90 + 36 * np.arange(10))
    reach = np.where(np.arange(10) % 2 == 0, 1.0, inner)
    return [fill("main", np.stack([np.cos(angles) * reach, np.sin(angles) * reach], axis=1))]


def draw_heart(lot: Random) -> list[Part]:
    """A heart: the well-known curve x = 16 sin³t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t."""
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    width = lot.uniform(0.94, 1.08)
    x = 16 * np.sin(turn) ** 3 * width
    y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
    return [fill("main", np.stack([x, y], axis=1) / 17)]


def draw_cross(lot: Random) -> list[Part]:
    """A cross of two bars of equal length."""
    arm = lot.uniform(0.26, 0.36)
    return [
        fill(
            "main",
            [
                (-arm, -1),
                (arm, -1),
                (arm, -arm),
                (1, -arm),
                (1, arm),
                (arm, arm),
                (arm, 1),
                (-arm, 1),
                (-arm, arm),
                (-1, arm),
                (-1, -arm),
                (-arm, -arm),
            ],
        )
    ]


def draw_diamond(lot: Random) -> list[Part]:
    """A rhombus that stands on its point, higher than wide."""
    width = lot.uniform(0.62, 0.76)
    return [fill("main", [(0, -1), (width, 0), (0, 1), (-width, 0)])]


def draw_ring(lot: Random) -> list[Part]:
    """A disc with a round hole."""
    hole = lot.uniform(0.5, 0.62)
    return [fill("main", ellipse(0, 0, 1, 1, points=64), holes=[arc(0, 0, hole, 0, 360, 56)])]
