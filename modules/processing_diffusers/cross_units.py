"""ControlNet-XS units of one pass: which branches stand beside which rows of a call, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from modules.contracts.control import CONTROL, ControlUnit
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.crossing import Crossing, RowCrossings
from modules.processing_diffusers.tiles import Window


@dataclass(frozen=True, eq=False, slots=True)
class CrossUnit:
    """One unit, ready for one pass. Tensors have one row for each picture, in cells of the latents."""

    unit: ControlUnit
    network: Any
    hint: torch.Tensor
    """(pictures, channels, height, width): what the branch's first layers make of the map."""
    region: torch.Tensor | None = None
    """(pictures, height, width): 1 where it acts; None is everywhere."""

    def only(self, place: int) -> CrossUnit:
        """For one picture of the batch."""
        row = slice(place, place + 1)
        return replace(self, hint=self.hint[row], region=None if self.region is None else self.region[row])

    def within(self, window: Window) -> CrossUnit:
        """For one tile of the canvas."""
        region = None if self.region is None else window.cut(self.region)
        return replace(self, hint=window.cut(self.hint), region=region)

    def beside(self, picture: int) -> Crossing:
        """What it is to one row."""
        region = None if self.region is None else self.region[picture]
        return Crossing(self.network, self.hint[picture], self.unit.weight, region)


def crossings_at(
    units: Sequence[CrossUnit], shelf: ModuleShelf, rows: Sequence[int], pictures: int, total: int, done: float
) -> RowCrossings:
    """The patch for a call when `done` of the steps lie behind; `rows` says which of the pipeline's `total` rows each
    sample is: a multiple of the pictures, those of the prompt last."""
    acting = [one for one in units if one.unit.guidance_start <= done < one.unit.guidance_end]
    last = total // pictures - 1
    found = {
        place: [
            one.beside(row % pictures) for one in acting if row // pictures == last or one.unit.control_mode != CONTROL
        ]
        for place, row in enumerate(rows)
    }
    return RowCrossings(shelf, {place: each for place, each in found.items() if each})
