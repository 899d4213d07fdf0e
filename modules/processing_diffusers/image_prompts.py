"""IP-Adapters of one pass: which pictures speak beside the words, to whom, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from modules.contracts.control import ControlUnit
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.speaking import RowSpeeches, Speech
from modules.processing_diffusers.tiles import Window


@dataclass(frozen=True, eq=False, slots=True)
class ImagePrompt:
    """One unit, ready for one pass. Tensors have one row for each picture."""

    unit: ControlUnit
    weights: tuple[float, ...]
    """For each cross-attention."""
    bound: tuple[torch.Tensor, ...]
    """Keys and values of each in turn, for rows of the prompt: (pictures, tokens, width)."""
    free: tuple[torch.Tensor, ...]
    """The same for rows of the negative prompt: what a picture of nothing says."""
    region: torch.Tensor | None = None
    """(pictures, height, width) in cells of the latents: 1 where it counts; None is everywhere."""

    def only(self, place: int) -> ImagePrompt:
        """For one picture of the batch."""
        row = slice(place, place + 1)
        return replace(
            self,
            bound=tuple(one[row] for one in self.bound),
            free=tuple(one[row] for one in self.free),
            region=None if self.region is None else self.region[row],
        )

    def within(self, window: Window) -> ImagePrompt:
        """For one tile of the canvas."""
        return self if self.region is None else replace(self, region=window.cut(self.region))

    def says(self, picture: int, *, bound: bool) -> Speech:
        """What it says to one row."""
        region = None if self.region is None else self.region[picture]
        return Speech([one[picture] for one in (self.bound if bound else self.free)], self.weights, region)


def speeches_at(
    prompts: Sequence[ImagePrompt], shelf: ModuleShelf, rows: Sequence[int], pictures: int, total: int, done: float
) -> RowSpeeches:
    """The patch for a call when `done` of the steps lie behind; `rows` says which of the pipeline's `total` rows each
    sample is: a multiple of the pictures, those of the prompt last."""
    acting = [one for one in prompts if one.unit.guidance_start <= done < one.unit.guidance_end]
    if not acting:
        return RowSpeeches(shelf)
    last = total // pictures - 1
    speeches = {
        place: [one.says(row % pictures, bound=row // pictures == last) for one in acting]
        for place, row in enumerate(rows)
    }
    return RowSpeeches(shelf, speeches)
