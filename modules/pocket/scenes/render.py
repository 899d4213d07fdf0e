"""The picture of a scene, at any side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.pocket.scenes.scene import Scene
from modules.pocket.scenes.styles import draw_style

LEAST_SIDE = 32


def render(scene: Scene, side: int = 256) -> NDArray[np.uint8]:
    """The scene as (side, side, 3) RGB, anti-aliased; the same scene always gives the same pixels.

    At another side it is the same picture, not a larger or smaller copy. Raises ValueError for a side below 32.
    """
    if side < LEAST_SIDE:
        raise ValueError(f"a scene needs a side of at least {LEAST_SIDE} pixels, not {side}")
    return draw_style(scene, side)
