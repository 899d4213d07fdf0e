"""What a ControlNet is asked beside a call of the denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from modules.processing_diffusers.multiplexer.picking import pick
from modules.processing_diffusers.multiplexer.stand_in import Port


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """One call of the denoiser, as one unit is asked about it."""

    given: Mapping[str, Any]
    """The call's arguments."""
    chosen: Sequence[int]
    """Samples of the call that the unit acts on."""
    count: int
    """Samples of the call."""
    pictures: torch.Tensor
    """For each of the chosen samples, which picture of the batch it is of."""
    port: Port
    dtype: torch.dtype
    """What networks compute in."""

    def pick(self, *names: str) -> dict[str, Any]:
        """Those arguments of the call that it has, for the chosen samples."""
        return {
            name: pick(self.given[name], self.chosen, self.count, name)
            for name in names
            if self.given.get(name) is not None
        }

    def spread(self, blocks: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What was said of the chosen samples as of all, with rows of nothing where none was asked for."""
        if len(self.chosen) == self.count:
            return list(blocks)
        spread = []
        for block in blocks:
            whole = block.new_zeros(self.count, *block.shape[1:])
            whole[torch.tensor(self.chosen, device=block.device)] = block
            spread.append(whole)
        return spread
