"""Pictures laid out on sheets, and sample sheets drawn every so often while a network trains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREY = 128


def lay_sheet(pictures: NDArray[np.uint8], columns: int = 10, gap: int = 0) -> Image.Image:
    """The pictures (n, h, w, 3) side by side in rows of `columns`, `gap` pixels apart, the rest filled with grey.

    Raises ValueError where there is no picture or another shape.
    """
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or not len(pictures):
        raise ValueError(f"Pictures of shape {pictures.shape} were given; (n, h, w, 3) with n at least 1 is wanted.")
    count, height, width, _ = pictures.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), GREY, np.uint8)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        y, x = row * (height + gap), column * (width + gap)
        canvas[y : y + height, x : x + width] = picture
    return Image.fromarray(canvas)


@dataclass(slots=True)
class Samples:
    """Draws a sheet every so often, and never spends more than its share of the time on it."""

    draw: Callable[[int], NDArray[np.uint8]]
    """From the number of the step to pictures (n, h, w, 3). May use random numbers freely."""
    folder: Path
    """Sheets are `step-000123.png`."""
    every_s: float = 600.0
    """Seconds from the end of one sheet to the beginning of the next, at least."""
    share: float = 0.05
    """The largest share of the whole time that may go into sheets; the first one is drawn to learn what one costs."""
    columns: int = 8
    clock: Callable[[], float] = time.monotonic
    spent: float = field(default=0.0, init=False)
    _began: float | None = field(default=None, init=False)
    _ended: float = field(default=0.0, init=False)
    _cost: float = field(default=0.0, init=False)

    def offer(self, step: int) -> Path | None:
        """Draws a sheet if it is time for one; gives where it lies."""
        now = self.clock()
        if self._began is None:
            self._began = self._ended = now
        if now - self._ended < self.every_s or self.spent + self._cost > self.share * (now - self._began):
            return None
        return self.take(step)

    def take(self, step: int) -> Path:
        """Draws a sheet now."""
        began = self.clock()
        sheet = lay_sheet(self.draw(step), self.columns)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:06d}.png"
        sheet.save(path, optimize=True)
        self._ended = self.clock()
        self._cost = self._ended - began
        self.spent += self._cost
        return path
