"""Samplers that leave a picture half done, and samplers that go on with it: changes of the sampler in mid-run."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from modules.sd_samplers.itinerary import OpenTimesteps

CALM: frozenset[int] = frozenset()
"""No step is without churn that has some."""


class Handover:
    """What a scheduler can do besides walking a whole road. Steps are counted along its schedule, from 0."""

    order: int
    sigmas: Any
    timesteps: Any
    _road: tuple[float, ...]
    _first: int
    _calm: frozenset[int] = CALM
    _left: int | None = None

    @abstractmethod
    def _lay(self, road: Sequence[float], skip: int, device: Any) -> None:
        """Take a road of sigmas, to be walked from step `skip` on."""

    @property
    def ends_at(self) -> float:
        """The noise level at which the walk ends; 0 is a finished picture."""
        return self._road[-1 if self._left is None else self._left]

    def come_in(self, sigma: float, device: Any = None) -> None:
        """Go on from latents of that noise level, in as many steps as the way that was laid has.

        Where the level is one of the schedule's own, these are its own steps. Else the rest of the schedule below it is
        cut into that many.
        """
        skip = self._first
        rest = rest_of(self._road, sigma, len(self._road) - 1 - skip)
        self._calm |= {skip}
        self._lay((*self._road[:skip], *rest), skip, device)

    def leave_at(self, stop: int, device: Any = None) -> None:
        """Be done where step `stop` would begin, without the fresh noise that it begins with."""
        self._calm |= {stop}
        self._left = stop
        self._lay(self._road, self._first, device)
        if isinstance(self.timesteps, OpenTimesteps):
            raise ValueError("A sampler that finds its way as it goes cannot be left half-way.")
        calls, end = (stop - self._first) * self.order, self._road[stop]
        if self.order == 1:
            # A first step that asks twice makes one call more.
            calls = int((self.sigmas == torch.tensor(end, dtype=torch.float32)).nonzero()[-1].item())
        self.timesteps = self.timesteps[:calls]
        self.sigmas = torch.cat([self.sigmas[:calls], torch.tensor([end], dtype=torch.float32)])


def rest_of(road: Sequence[float], sigma: float, steps: int) -> tuple[float, ...]:
    """What of a falling road lies below `sigma`, in `steps` steps, beginning with it and ending with 0.

    Places along the road are counted in its own steps; between two of them the log of sigma is a straight line. A road
    of which nothing positive lies below is left in steps of equal length.
    """
    levels = [level for level in road if level > 0]
    if steps == 1:
        return sigma, 0.0
    place = _place_of(levels, sigma)
    last = len(levels) - 1
    if place >= last:
        return (*(sigma * (1 - step / steps) for step in range(steps)), 0.0)
    width = (last - place) / (steps - 1)
    inner = (_level_at(levels, place + step * width) for step in range(1, steps))
    return (sigma, *inner, 0.0)


def _place_of(levels: Sequence[float], sigma: float) -> float:
    """Where along falling levels that one lies, in steps."""
    if sigma >= levels[0]:
        return 0.0
    for place in range(1, len(levels)):
        high, low = levels[place - 1], levels[place]
        # A level that went through fp32 is still that one.
        if math.isclose(sigma, low, rel_tol=1e-6):
            return float(place)
        if sigma > low:
            return place - 1 + math.log(high / sigma) / math.log(high / low)
    return float(len(levels))


def _level_at(levels: Sequence[float], place: float) -> float:
    near = round(place)
    if abs(place - near) < 1e-9:
        return levels[near]
    low = math.floor(place)
    share = place - low
    return math.exp((1 - share) * math.log(levels[low]) + share * math.log(levels[low + 1]))
