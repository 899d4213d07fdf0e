"""Deterministic solvers of the probability-flow ODE dx/dsigma = (x - denoised) / sigma, written as coroutines.

The same ODE holds for flow-matching models, where (x - denoised) / sigma is the velocity. See `walk.Solver` for the
protocol. Churn, where a solver takes it, is the noise of arXiv:2206.00364, algorithm 2, added before the model is
asked.
"""

from __future__ import annotations

import math
from typing import Any

from modules.sd_samplers.walk import Solver, Walk, adams_weights


def euler(walk: Walk) -> Solver:
    """Euler's method; arXiv:2206.00364, algorithm 2 without the correction. One call a step."""
    x: Any = None
    for index, _, end in walk.steps():
        x, start = walk.enter(x, index)
        x, denoised = yield x, start
        x = walk.drift(x, denoised, start, end)
    return x


def ddim_cfgpp(walk: Walk) -> Solver:
    """DDIM with CFG++, algorithm 2 of arXiv:2406.08070: what is denoised is guided, what is noised again is not.

    One call a step. Without guidance it is `euler`.
    """
    x: Any = None
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        x = denoised * walk.alpha(end) + (x - walk.unguided(denoised) * walk.alpha(start)) * (end / start)
    return x


def heun(walk: Walk) -> Solver:
    """Heun's method; arXiv:2206.00364, algorithm 2. Two calls a step, one in the last."""
    x: Any = None
    for index, _, end in walk.steps():
        x, start = walk.enter(x, index)
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        slope = (x - denoised) / start
        ahead, later = yield walk.drift(x, denoised, start, end), end
        x = x + (slope + (ahead - later) / end) * ((end - start) / 2)
    return x


def heunpp2(walk: Walk) -> Solver:
    """Heun with a third look one step further ahead, weighted by sigma, as A1111's HeunPP2. Three calls a step.

    The step before the last has nothing further ahead; its third call is made and not used, so that every step but the
    last costs the same and image to image can begin at any step.
    """
    x: Any = None
    top = walk.sigmas[walk.first]
    for index, _, end in walk.steps():
        x, start = walk.enter(x, index)
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        slope, width = (x - denoised) / start, end - start
        second, later = yield walk.drift(x, denoised, start, end), end
        slope2 = (second - later) / end
        beyond = walk.sigmas[index + 2]
        if beyond == 0.0:
            yield second, end
            weight = end / (2 * top)
            x = x + (slope * (1 - weight) + slope2 * weight) * width
            continue
        third, last = yield second + slope2 * (beyond - end), beyond
        slope3 = (third - last) / beyond
        weight2, weight3 = end / (3 * top), beyond / (3 * top)
        x = x + (slope * (1 - weight2 - weight3) + slope2 * weight2 + slope3 * weight3) * width
    return x


def dpm_2(walk: Walk) -> Solver:
    """DPM-Solver-2 as in k-diffusion: the midpoint method with the middle taken in log sigma. Two calls a step."""
    x: Any = None
    for index, _, end in walk.steps():
        x, start = walk.enter(x, index)
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        middle = math.sqrt(start * end)
        half, later = yield walk.drift(x, denoised, start, middle), middle
        x = x + (half - later) / middle * (end - start)
    return x


def lms(walk: Walk) -> Solver:
    """Linear multistep of order 4: the polynomial in sigma through the last slopes, integrated exactly."""
    x: Any = None
    slopes: list[Any] = []
    for index, start, end in walk.steps():
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        slopes = [(x - denoised) / start, *slopes[:3]]
        width = end - start
        nodes = [(walk.sigmas[index - back] - start) / width for back in range(len(slopes))]
        weights = adams_weights(nodes, [1 / (power + 1) for power in range(len(slopes))])
        for slope, weight in zip(slopes, weights, strict=True):
            x = x + slope * (weight * width)
    return x


def deis(walk: Walk) -> Solver:
    """DEIS of order 3 with polynomials in log rho (arXiv:2204.13902, section 3.3), the form that diffusers has.

    The last step, to zero, is of first order: log rho has no end there.
    """
    x: Any = None
    slopes: list[Any] = []
    for index, start, end in walk.steps():
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        slopes = [(x - denoised) / start, *slopes[:2]]
        reach = math.log(end / start)
        moments = [math.expm1(reach)]
        for power in range(1, len(slopes)):
            moments.append(reach**power * math.exp(reach) - power * moments[-1])
        nodes = [math.log(walk.sigmas[index - back] / start) for back in range(len(slopes))]
        for slope, weight in zip(slopes, adams_weights(nodes, moments), strict=True):
            x = x + slope * (weight * start)
    return x


ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Weights of the newest slope first, for even steps."""


def _bashforth(slopes: list[Any]) -> Any:
    weights = ADAMS_BASHFORTH[len(slopes) - 1]
    mean = slopes[0] * weights[0]
    for slope, weight in zip(slopes[1:], weights[1:], strict=True):
        mean = mean + slope * weight
    return mean


def ipndm(walk: Walk) -> Solver:
    """Improved pseudo-numerical method (arXiv:2204.13902): Adams-Bashforth of growing order. One call a step."""
    x: Any = None
    slopes: list[Any] = []
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        slopes = [(x - denoised) / start, *slopes[:3]]
        x = x + _bashforth(slopes) * (end - start)
    return x


def plms(walk: Walk) -> Solver:
    """Pseudo linear multistep (arXiv:2202.09778, F-PNDM with A1111's start): `ipndm` whose first step is Heun's.

    That step asks the model once more at its end, so there is one call more than steps: sigma 0, 1, 1, 2, 3 … A walk
    that begins at call k > 0 of that row (image to image) begins at the sigma of that call and makes no Heun step.
    """
    x: Any = None
    slopes: list[Any] = []
    origin: Any = None
    calls = [0, 1, *range(1, len(walk.sigmas) - 1)] if len(walk.sigmas) > 2 else [0]
    for position in range(walk.first, len(calls)):
        start = walk.sigmas[calls[position]]
        x, denoised = yield x, start
        end = walk.sigmas[calls[position + 1]] if position + 1 < len(calls) else 0.0
        if end == 0.0:
            return denoised
        if position == 1 and walk.first == 0:
            x = origin + (slopes[0] + (x - denoised) / start) * ((start - walk.sigmas[0]) / 2)
            continue
        if end == start:
            continue
        slopes = [(x - denoised) / start, *slopes[:3]]
        origin, x = x, x + _bashforth(slopes) * (end - start)
    return x
