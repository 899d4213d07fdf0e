"""How far two pictures are apart: in values outside of a mask, and in where their things stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.pocket.evaluation.colours import Picture
from modules.pocket.evaluation.judge import things_mask


@dataclass(frozen=True, slots=True)
class Difference:
    """Of values from 0 to 255, over all channels."""

    largest: float
    mean: float


def compare(first: Picture, second: Picture, outside: NDArray[np.bool_] | None = None) -> Difference:
    """How two pictures of one size differ where `outside`, a mask (height, width), is false; everywhere without one.

    Raises ValueError where sizes differ or the mask leaves nothing to compare.
    """
    if first.shape != second.shape:
        raise ValueError(f"pictures of one size are compared; given {first.shape} and {second.shape}")
    apart = np.abs(first.astype(np.int16) - second.astype(np.int16))
    if outside is not None:
        if outside.shape != first.shape[:2] or outside.all():
            raise ValueError(f"the mask has to be {first.shape[:2]} and leave something; given {outside.shape}")
        apart = apart[~outside]
    return Difference(float(apart.max()), float(apart.mean()))


def layout_overlap(first: Picture, second: Picture) -> float:
    """Intersection over union, 0 to 1, of the masks of what stands out from plain grounds; 0 if nothing does in one."""
    one, other = things_mask(first), things_mask(second)
    both = float((one | other).sum())
    return float((one & other).sum()) / both if one.any() and other.any() else 0.0
