"""Restart sampling: down, back up with fresh noise, and down again. See `walk.Solver` for the protocol.

Yilun Xu et al., Restart Sampling for Improving Generative Processes, arXiv:2306.14878. Going back mixes the errors that
the way down has gathered with noise, and so makes them smaller, at the price of a few steps.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from modules.sd_samplers.schedules import karras_between
from modules.sd_samplers.walk import Solver, Walk

LOW, HIGH = 0.1, 2.0
"""Between which sigmas the way is made again: A1111's choice, after the paper's table for Stable Diffusion."""


@dataclass(frozen=True, slots=True)
class Returns:
    """How many of the steps are spent on going the way again, and how often it is gone."""

    steps: int
    times: int

    @classmethod
    def of(cls, steps: int) -> Returns:
        """A1111's rule: none below 20 steps, once for 9 steps below 36, from there on twice for a quarter each."""
        if steps < 20:
            return cls(0, 0)
        return cls(9, 1) if steps < 36 else cls(steps // 4, 2)


def plan_restart(road: tuple[float, ...]) -> list[tuple[float, float]]:
    """The steps (from, to) for a road of sigmas that ends with 0: as many as the road has.

    A step that begins above the end of the one before goes there by noise. A road that begins too low to go back on,
    or is too short for it, is gone as it is; a longer one is laid by Karras between its ends, as in A1111.
    """
    plain = list(itertools.pairwise(road))
    returns = Returns.of(len(plain))
    if returns.times == 0:
        return plain
    way = [*karras_between(road[0], road[-2], len(plain) - returns.steps * returns.times), 0.0]
    low, high = _nearest(way, LOW), _nearest(way, HIGH)
    if high >= low:
        return plain
    again = karras_between(way[high], way[low], returns.steps + 1)
    loop = list(itertools.pairwise(again))
    steps = list(itertools.pairwise(way))
    return steps[:low] + loop * returns.times + steps[low:]


def _nearest(way: list[float], sigma: float) -> int:
    """The place on the way, its end at zero left out, that is nearest to a sigma."""
    return min(range(len(way) - 1), key=lambda place: abs(way[place] - sigma))


def restart(walk: Walk) -> Solver:
    """Algorithm 1 of the paper with Heun's steps. Two calls a step, one in the last."""
    x: Any = None
    reached = math.inf
    for start, end in plan_restart(walk.sigmas[walk.first :]):
        if x is not None and start > reached:
            x = walk.renoise(x, 1.0, math.sqrt(start**2 - reached**2))
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        slope = (x - denoised) / start
        ahead, later = yield walk.drift(x, denoised, start, end), end
        x = x + (slope + (ahead - later) / end) * ((end - start) / 2)
        reached = end
    return x
