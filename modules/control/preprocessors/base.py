"""What every preprocessor is given and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""uint8 of shape (H, W, 3), RGB."""
Plane = NDArray[Any]
"""One number for each pixel, (H, W)."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Thresholds and the seed of one use."""

    a: float = 0.0
    b: float = 0.0
    seed: int = 0


Preprocess = Callable[[Pixels, Numbers], Pixels]
"""Gives a map of the picture's size; equal arguments give equal maps."""


def as_rgb(plane: Plane) -> Pixels:
    """A plane of 0 to 255 as grey pixels; rounded and cut."""
    grey = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
