"""Denoisers that see a picture beside the one they draw, and guidance towards words and picture.

Brooks et al., InstructPix2Pix (2023), section 3.2.1. The model's own pipeline asks for three rows a picture, in an
order of its own. Here the plain pipeline asks for two, as it does of every model, and a third is put beside them; what
comes back are two answers again, so that whatever else guides, schedules and mixes works on them unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from modules.processing_diffusers.families.base import FamilyAdapter
from modules.processing_diffusers.multiplexer.call import count_samples
from modules.processing_diffusers.multiplexer.picking import pick
from modules.processing_diffusers.multiplexer.stand_in import KINDS, UNSEEN


class Showing:
    """Shows every call of one pass of one lane what its denoiser sees beside what it draws."""

    def __init__(
        self, adapter: FamilyAdapter, seen: torch.Tensor, beside: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        """`seen` has a row for each picture (pictures, channels, height, width), or each film with an axis for time
        behind the channels; so have further arguments of each call, `beside`, by name."""
        self._adapter, self._seen, self._beside = adapter, seen, dict(beside or {})

    def ask(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        """The answer to `arguments`, whose rows are one set of the pictures or several."""
        times = count_samples(arguments) // self._seen.shape[0]
        beside = {name: _times(value, times) for name, value in self._beside.items()}
        return call({**self._adapter.show(arguments, _times(self._seen, times)), **beside})


def _times(value: torch.Tensor, times: int) -> torch.Tensor:
    """All rows so many times."""
    return value.repeat(times, *[1] * (value.ndim - 1))


class Editing:
    """Shows the pictures to every call of one pass of one lane, and guides towards them."""

    def __init__(self, seen: torch.Tensor, scale: float) -> None:
        """`seen` has the pictures' latents (pictures, C, height, width); `scale` 1 needs no third row."""
        self._seen, self._scale = seen, scale

    def ask(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        """The answer to `arguments`, in which rows for nothing stand before those for the prompt where it is guided.

        With e(words, picture) for the denoiser, and 0 for nothing, the two answers are
        f = e(0, 0) + scale · (e(0, picture) - e(0, 0)) and f + e(words, picture) - e(0, picture). Guided between them
        as usual that is the paper's equation 3.
        """
        given, pictures = count_samples(arguments), self._seen.shape[0]
        seen = self._seen.repeat(given // pictures, 1, 1, 1)
        if given == pictures or self._scale == 1:
            return call({**arguments, "sample": torch.cat([arguments["sample"], seen], dim=1)})
        sources = [*range(given), *range(pictures)]
        wider: dict[str, Any] = {name: pick(value, sources, given, name) for name, value in arguments.items()}
        hidden = torch.cat([seen, torch.zeros_like(self._seen)])
        wider["sample"] = torch.cat([wider["sample"], hidden], dim=1)
        kinds = torch.tensor([0] * given + [UNSEEN] * pictures)
        output = call({**wider, KINDS: kinds})[0]
        (free, bound), blind = output[:given].chunk(2), output[given:]
        led = blind + self._scale * (free - blind)
        return (torch.cat([led, led + bound - free]),)
