"""Further answers to the same words by a model that sees less, from which a picture is led away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from modules.processing_diffusers.inside.rows import RowChange
from modules.processing_diffusers.multiplexer.call import count_samples
from modules.processing_diffusers.multiplexer.picking import pick
from modules.processing_diffusers.multiplexer.stand_in import KINDS


@dataclass(frozen=True, slots=True)
class Branch:
    """One such answer."""

    kind: int
    """Its number, from 1."""
    change: RowChange
    """What is taken from the model for it."""
    scale: float
    window: tuple[float, float] = (0.0, 1.0)
    """Shares of the steps between which it is asked for."""
    falling: float = 0.0
    """By how much the scale falls for each time step that lies behind."""

    def scale_at(self, share: float, time: float) -> float:
        """Its scale when `share` of the steps and all time steps above `time` (of 1000) lie behind."""
        if not self.window[0] <= share < self.window[1]:
            return 0.0
        return max(self.scale - self.falling * (1000 - time), 0.0)


class Branches:
    """The branches of one pass of one lane: makes a call wider by their rows and keeps what is said to them."""

    def __init__(self, branches: Sequence[Branch], pictures: int) -> None:
        self.share = 0.0
        """How much of the pass's steps lies behind; set before each call."""
        self._branches, self._pictures = tuple(branches), pictures
        self._heard: list[tuple[float, torch.Tensor]] = []

    def ask(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        """The denoiser's answer to `arguments`, whose last rows are those for the prompt; the same call has a row a
        picture for every branch as well."""
        self._heard = []
        time = float(torch.as_tensor(arguments.get("timestep", 0.0)).float().max())
        asked = [(one, one.scale_at(self.share, time)) for one in self._branches]
        asked = [(one, scale) for one, scale in asked if scale > 0]
        if not asked:
            return call(arguments)
        given, pictures = count_samples(arguments), self._pictures
        sources = [*range(given), *(list(range(given - pictures, given)) * len(asked))]
        kinds = [0] * given + [one.kind for one, _ in asked for _ in range(pictures)]
        wider: dict[str, Any] = {name: pick(value, sources, given, name) for name, value in arguments.items()}
        output = call({**wider, KINDS: torch.tensor(kinds)})[0]
        for (_, scale), answer in zip(asked, output[given:].split(pictures), strict=True):
            self._heard.append((scale, answer))
        return (output[:given],)

    def lead(self, guided: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
        """`guided` led away from the newest answers of the branches; `bound` is the ordinary answer to the prompt."""
        for scale, answer in self._heard:
            guided = guided + scale * (bound - answer)
        self._heard = []
        return guided
