"""Draws scenes of the pocket world: anti-aliased, without random choices of its own, about a millisecond a picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from modules.pocket.world import COLOURS, SIDE, SPECIAL_GROUNDS, Figure, Scene

_OVER = 4
"""Masks are drawn so many times larger and averaged down: that is the anti-aliasing."""

Pixels = NDArray[np.uint8]


def render(scene: Scene) -> Pixels:
    """The picture of a scene: uint8 of shape (SIDE, SIDE, 3), RGB. The same scene always gives the same bytes."""
    ground = _ground(scene)
    colour = np.asarray(COLOURS[scene.colour], np.float32) + np.asarray(scene.tint[:3], np.float32)
    cover = coverage(scene)[..., None]
    mixed = ground * (1 - cover) + np.clip(colour, 0, 255) * cover
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def coverage(scene: Scene) -> NDArray[np.float32]:
    """How much of each pixel the figures cover, 0 to 1, float32 of shape (SIDE, SIDE)."""
    mask = Image.new("L", (SIDE * _OVER, SIDE * _OVER), 0)
    pen = ImageDraw.Draw(mask)
    for figure in scene.figures:
        pen.polygon([(x * _OVER, y * _OVER) for x, y in outline(scene.shape, figure)], fill=255)
    return np.asarray(mask.reduce(_OVER), np.float32) / 255.0


def outline(shape: str, figure: Figure) -> list[tuple[float, float]]:
    """The corners of a figure in pixels. Raises KeyError for a shape that the world does not have."""
    turn = math.radians(figure.angle)
    cos, sin = math.cos(turn), math.sin(turn)
    return [
        (figure.x + figure.radius * (x * cos + y * sin), figure.y + figure.radius * (y * cos - x * sin))
        for x, y in _UNIT[shape]
    ]


def _ground(scene: Scene) -> NDArray[np.float32]:
    tint = np.asarray(scene.tint[3:], np.float32)
    if scene.ground in COLOURS:
        flat = np.clip(np.asarray(COLOURS[scene.ground], np.float32) + tint, 0, 255)
        return np.broadcast_to(flat, (SIDE, SIDE, 3))
    first, second = (np.asarray(colour, np.float32) for colour in SPECIAL_GROUNDS[scene.ground])
    if scene.ground == "checkerboard":
        field = (np.indices((SIDE, SIDE)) // 16).sum(axis=0) % 2
        share = field.astype(np.float32)[..., None]
    else:
        share = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    mixed = first * (1 - share) + second * share
    return np.broadcast_to(np.clip(mixed + tint, 0, 255), (SIDE, SIDE, 3))


def _ring(corners: int, radii: tuple[float, ...]) -> list[tuple[float, float]]:
    return [
        (
            radii[k % len(radii)] * math.sin(2 * math.pi * k / corners),
            -radii[k % len(radii)] * math.cos(2 * math.pi * k / corners),
        )
        for k in range(corners)
    ]


def _heart() -> list[tuple[float, float]]:
    """The well-known curve 16 sin^3 t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, scaled and centred."""
    points = []
    for k in range(96):
        t = 2 * math.pi * k / 96
        up = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3 * 1.1, -(up + 2.5) * 1.1 / 16))
    return points


def _cross(arm: float, half: float) -> list[tuple[float, float]]:
    quarter = [(-half, -arm), (half, -arm), (half, -half)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return corners


_UNIT: dict[str, list[tuple[float, float]]] = {
    "circle": _ring(96, (1.0,)),
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(x, y + 0.22) for x, y in _ring(3, (1.22,))],
    "star": _ring(10, (1.22, 0.52)),
    "heart": _heart(),
    "cross": _cross(1.08, 0.38),
}
