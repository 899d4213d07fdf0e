"""How much of each pixel a part of a thing covers: outlines drawn larger than needed and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from modules.pocket.scenes.kinds.register import make_parts
from modules.pocket.scenes.scene import Thing
from modules.pocket.scenes.shapes import Outline, Part


@dataclass(frozen=True, slots=True)
class Mask:
    """Coverage ("L", 0 to 255) of the pixels of a box of the picture whose corner is (left, top)."""

    cover: Image.Image
    left: int
    top: int

    @property
    def corner(self) -> tuple[int, int]:
        """Where it is pasted."""
        return self.left, self.top

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.left + self.cover.width, self.top + self.cover.height


def place_parts(thing: Thing, side: int) -> list[Part]:
    """The thing's parts in pixels of a picture of that side."""
    turn = np.radians(thing.angle)
    scale = thing.radius * side
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([thing.x * side, thing.y * side])
    return [
        Part(
            part.role,
            tuple(outline @ matrix + middle for outline in part.outlines),
            tuple(hole @ matrix + middle for hole in part.holes),
            part.lined,
        )
        for part in make_parts(thing.kind, thing.variant)
    ]


def choose_scale(side: int) -> int:
    """How many times larger masks are drawn than they are needed."""
    return 4 if side <= 320 else 3 if side <= 640 else 2


class Sheet:
    """An enlarged mask over the box of some outlines, to draw areas and lines on."""

    def __init__(self, outlines: Sequence[Outline], side: int, margin: float = 0.0) -> None:
        low = np.min([outline.min(axis=0) for outline in outlines], axis=0) - margin - 1
        high = np.max([outline.max(axis=0) for outline in outlines], axis=0) + margin + 1
        self._left, self._top = (int(max(0, np.floor(value))) for value in low)
        right, bottom = (int(min(side, np.ceil(value))) for value in high)
        self._scale = choose_scale(side)
        size = (max(1, right - self._left) * self._scale, max(1, bottom - self._top) * self._scale)
        self._image = Image.new("L", size, 0)
        self._pen = ImageDraw.Draw(self._image)
        self._corner = np.array([self._left, self._top])

    def _convert(self, outline: Outline) -> list[float]:
        # Pillow fills a polygon to the far edge of its last pixel, so that it grows by half a pixel all around.
        points: list[float] = ((outline - self._corner) * self._scale - 0.5).ravel().tolist()
        return points

    def fill(self, outlines: Sequence[Outline], holes: Sequence[Outline] = ()) -> None:
        """Cover the inside of every outline, then uncover every hole."""
        for outline in outlines:
            self._pen.polygon(self._convert(outline), fill=255)
        for hole in holes:
            self._pen.polygon(self._convert(hole), fill=0)

    def trace(self, outline: Outline, width: float, closed: bool = True) -> None:
        """Cover a line of a width in pixels along an outline, with round corners."""
        thick = max(1, round(width * self._scale))
        points = self._convert(np.concatenate([outline, outline[:1]]) if closed else outline)
        self._pen.line(points, fill=255, width=thick)
        along = np.diff(np.concatenate([outline[-1:], outline, outline[:1]]), axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        sharp = (along[:-1] * along[1:]).sum(axis=1) < 0.96
        if not closed:
            sharp[[0, -1]] = True
        reach = thick / 2
        for x, y in ((outline[sharp] - self._corner) * self._scale - 0.5).tolist():
            self._pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)

    def read(self) -> Mask:
        """The mask at the picture's own size."""
        return Mask(self._image.reduce(self._scale), self._left, self._top)


def cover_part(part: Part, side: int, margin: float = 0.0) -> Mask:
    """The area of a part that is placed in pixels; `margin` pixels are left empty around it."""
    sheet = Sheet(part.outlines, side, margin)
    sheet.fill(part.outlines, part.holes)
    return sheet.read()


def trace_part(part: Part, side: int, width: float) -> Mask:
    """A line of a width in pixels along every outline and hole of a part."""
    sheet = Sheet(part.outlines, side, width)
    for outline in (*part.outlines, *part.holes):
        sheet.trace(outline, width)
    return sheet.read()
