"""DPM-Solver with steps of their own, which forget what came before: `DPM fast` and `DPM adaptive`.

Cheng Lu et al., DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps,
arXiv:2206.00927. Written for x = x0 + sigma * noise, in the slope dx/dsigma = (x - denoised) / sigma, which is what
the paper calls the noise. Length is measured in -log sigma. See `walk.Solver` for the protocol.

Both go from the first sigma of the road to the smallest one above zero and choose what lies between themselves. From
there to zero they go straight along the newest slope, which costs no further call and leaves no noise in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from modules.sd_samplers.walk import Solver, Walk

Asking = Generator[tuple[Any, float], tuple[Any, Any], Any]
"""A part of a solver; what it returns is its own affair."""

THIRDS = (1 / 3, 2 / 3)
"""Where a step of third order looks, in parts of its length (the paper's r1 and r2)."""


@dataclass(frozen=True, slots=True)
class Leap:
    """One step from sigma `start` down to `end`: the formulas of the paper's algorithms 1 and 2."""

    start: float
    end: float

    def at(self, part: float) -> float:
        """The sigma after that part of the length."""
        return self.start ** (1 - part) * self.end**part

    def first(self, x: Any, slope: Any, to: float) -> Any:
        """Order 1: straight on to sigma `to`."""
        return x + slope * (to - self.start)

    def second(self, x: Any, slope: Any, later: Any, part: float) -> Any:
        """Order 2, with the slope `later` that was found after `part` of the length."""
        return self.first(x, slope, self.end) + (later - slope) * ((self.end - self.start) / (2 * part))

    def third(self, x: Any, slope: Any, later: Any, part: float, to: float) -> Any:
        """x at sigma `to` on the curve that the change of slope after `part` of the length suggests.

        With `to` at two thirds and the slope at one third this is the paper's u2, with `to` at the end and the slope
        at two thirds it is the result of order 3.
        """
        length = math.log(self.start / to)
        whole = math.log(self.start / self.end)
        curve = to * (math.expm1(length) / length - 1) * length / (part * whole)
        return self.first(x, slope, to) - (later - slope) * curve


def leap_once(x: Any, slope: Any, leap: Leap, order: int) -> Asking:
    """A step of that order, 1 to 3, asking `order` - 1 times. Returns (x at its end, the newest slope)."""
    if order == 1:
        return leap.first(x, slope, leap.end), slope
    if order == 2:
        middle = leap.at(0.5)
        there, denoised = yield leap.first(x, slope, middle), middle
        later = (there - denoised) / middle
        return leap.second(x, slope, later, 0.5), later
    _, high, newest = yield from leap_both(x, slope, leap)
    return high, newest


def leap_both(x: Any, slope: Any, leap: Leap) -> Asking:
    """A step of order 3 and the one of order 2 that lies within it, for two calls.

    Returns (x of order 2, x of order 3, the newest slope).
    """
    near, far = leap.at(THIRDS[0]), leap.at(THIRDS[1])
    there, denoised = yield leap.first(x, slope, near), near
    later = (there - denoised) / near
    low = leap.second(x, slope, later, THIRDS[0])
    there, denoised = yield leap.third(x, slope, later, THIRDS[0], far), far
    newest = (there - denoised) / far
    return low, leap.third(x, slope, newest, THIRDS[1], leap.end), newest


def orders_of(calls: int) -> list[int]:
    """Orders of the steps that use up that many calls: as many of order 3 as fit, and a cheaper end (section 3.4)."""
    rest = calls % 3
    if rest:
        return [3] * (calls // 3) + [rest]
    return [3] * (calls // 3 - 1) + [2, 1]


def dpm_fast(walk: Walk) -> Solver:
    """DPM-Solver-fast (section 3.4): as many calls as steps were asked for, spent on even steps of order 3, 2 and 1.

    Eta makes it ancestral as in k-diffusion: every step but the last goes lower and adds noise.
    """
    road = walk.sigmas[walk.first :]
    calls, lowest = len(road) - 1, road[-2]
    x, denoised = yield None, road[0]
    if calls == 1:
        return denoised
    orders = orders_of(calls)
    places = [Leap(road[0], lowest).at(number / len(orders)) for number in range(len(orders))] + [lowest]
    slope = (x - denoised) / road[0]
    for number, order in enumerate(orders):
        start, end = places[number], places[number + 1]
        if number > 0:
            x, denoised = yield x, start
            slope = (x - denoised) / start
        down, up = lower(walk, start, end, lowest)
        x, slope = yield from leap_once(x, slope, Leap(start, down), order)
        x = walk.renoise(x, 1.0, up)
    return x - slope * lowest


def lower(walk: Walk, start: float, end: float, lowest: float) -> tuple[float, float]:
    """The sigma that an ancestral step to `end` goes down to, never below `lowest`, and the noise to add there."""
    down = max(walk.ancestral(start, end)[0], lowest)
    return down, math.sqrt(max(end**2 - down**2, 0.0))


@dataclass(slots=True)
class StepControl:
    """How long the next step is: the step-size control of appendix C of the paper, as k-diffusion has made it smooth.

    Of the controller (G. Söderlind, Digital filters in adaptive time-stepping, 2003) only the integral part is used.
    """

    relative: float = 0.05
    absolute: float = 0.0078
    """Tolerances for the error of one value; the absolute one is one grey level of eight bits."""
    length: float = 0.05
    """The next step, in -log sigma."""
    acceptable: float = 0.81
    """A step that asks for a shorter one than this share of itself is made again."""

    def error(self, low: Any, high: Any, before: Any) -> float:
        """Root mean square of the difference in units of the tolerance."""
        allowed = torch.clamp(self.relative * torch.maximum(low.abs(), before.abs()), min=self.absolute)
        return float(((low - high) / allowed).square().mean().sqrt())

    def judge(self, error: float) -> bool:
        """Set the length of the next step for a step whose error (1 is just allowed) was that; tells whether it holds.

        An error that is no number shortens nothing: no length would mend it.
        """
        if not math.isfinite(error):
            return True
        wish = (1.0 / (error + 1e-8)) ** (1 / 3)
        factor = 1.0 + math.atan(wish - 1.0)
        self.length *= factor
        return factor >= self.acceptable


SHORTEST = 1 / 400
"""No step is shorter than this share of the way, so that the number of calls has a bound."""


def dpm_adaptive(walk: Walk, control: StepControl | None = None) -> Solver:
    """DPM-Solver-12/23 with step-size control (appendix C): order 3, judged by the order 2 within it.

    Three calls a step, two when a step is made again. How many steps there are follows from what the model answers;
    `Walk.reached` is told after each. x has to be one picture, whose error says how long its steps are. The tolerances
    of `control` are k-diffusion's when left out.
    """
    road = walk.sigmas[walk.first :]
    lowest, shortest = road[-2], SHORTEST * math.log(road[0] / road[-2])
    place, control = road[0], control or StepControl()
    x, denoised = yield None, place
    if len(road) == 2:
        return denoised
    before, slope = x, (x - denoised) / place
    while True:
        control.length = max(control.length, shortest)
        end = place * math.exp(-control.length)
        # What would be left over by a hair is no step of its own.
        end = lowest if end <= lowest * (1 + 1e-6) else end
        held_to = control.length <= shortest
        down, up = lower(walk, place, end, lowest)
        low, high, newest = yield from leap_both(x, slope, Leap(place, down))
        if not (control.judge(control.error(low, high, before)) or held_to):
            continue
        before, place = low, end
        x = walk.renoise(high, 1.0, up)
        walk.reached(place)
        if place == lowest:
            return x - newest * lowest
        x, denoised = yield x, place
        slope = (x - denoised) / place
