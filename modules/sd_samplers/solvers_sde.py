"""Solvers that add fresh noise: ancestral and SDE ones. See `walk.Solver` for the protocol.

Noise comes from `Walk.noise`, which draws for every picture of a batch from that picture's own generator.
"""

from __future__ import annotations

import math
from typing import Any

from modules.sd_samplers.walk import Solver, Walk


def euler_ancestral(walk: Walk) -> Solver:
    """Ancestral sampling with Euler steps: DDPM at eta 1, DDIM at eta 0 (arXiv:2010.02502). One call a step."""
    x: Any = None
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        down, scale, up = walk.ancestral(start, end)
        x = walk.renoise(walk.drift(x, denoised, start, down), scale, up)
    return x


def dpm_2_ancestral(walk: Walk) -> Solver:
    """`solvers_ode.dpm_2` down to a lower sigma, then noise, as in k-diffusion. Two calls a step, one in the last."""
    x: Any = None
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        down, scale, up = walk.ancestral(start, end)
        if end == 0.0:
            return denoised
        # With all of the noise fresh (a flow model's first step at eta 1) there is nothing to go down to.
        middle = math.sqrt(start * down) if down > 0.0 else start / 2
        half, later = yield walk.drift(x, denoised, start, middle), middle
        x = walk.renoise(x + (half - later) / middle * (down - start), scale, up)
    return x


def dpmpp_2s_ancestral(walk: Walk) -> Solver:
    """DPM-Solver++(2S), algorithm 1 of arXiv:2211.01095, made ancestral as in k-diffusion. Two calls a step."""
    x: Any = None
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        down, scale, up = walk.ancestral(start, end)
        middle = math.sqrt(start * down) if down > 0.0 else start / 2
        _, later = yield walk.drift(x, denoised, start, middle), middle
        x = walk.renoise(walk.drift(x, later, start, down), scale, up)
    return x


def dpmpp_sde(walk: Walk) -> Solver:
    """DPM-Solver++ for SDEs with a midpoint, as k-diffusion's `dpmpp_sde`. Two calls a step, one in the last.

    Both noises of a step are increments of one Brownian motion over sigma: the noise of the whole step is made of the
    one up to the midpoint and a fresh one for the rest.
    """
    x: Any = None
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        middle = math.sqrt(start * end)
        down, _, up = walk.ancestral(start, middle)
        whole_down, _, whole_up = walk.ancestral(start, end)
        half = walk.drift(x, denoised, start, down)
        first: Any = 0.0
        if walk.amounts.eta > 0.0:
            first = walk.noise()
            half = half + first * (up * walk.amounts.s_noise)
        _, later = yield half, middle
        x = walk.drift(x, later, start, whole_down)
        if walk.amounts.eta > 0.0:
            share = math.sqrt((start - middle) / (start - end))
            rest = math.sqrt((middle - end) / (start - end))
            x = x + (first * share + walk.noise() * rest) * (whole_up * walk.amounts.s_noise)
    return x


def _dpmpp_2m_sde(walk: Walk, heun: bool) -> Solver:
    x: Any = None
    old: Any = None
    before = math.inf
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        ahead, alpha = walk.span(start, end), walk.alpha(end)
        total = -ahead * (1 + walk.amounts.eta)
        gain = -math.expm1(total)
        x = x * _kept(walk, start, end) + denoised * (alpha * gain)
        if old is not None and math.isfinite(before) and math.isfinite(ahead):
            bend = gain / total + 1 if heun else gain / 2
            x = x + (denoised - old) * (alpha * bend * ahead / before)
        old, before = denoised, ahead
        x = walk.renoise(x, 1.0, _fresh(walk, end, ahead))
    return x


def _kept(walk: Walk, start: float, end: float) -> float:
    """Factor on x over one step of the SDE: the deterministic one times exp(-eta * span)."""
    eta = walk.amounts.eta
    fading = 1.0 if eta == 0.0 else walk.decay(start, end) ** eta
    return end / start * fading


def _fresh(walk: Walk, end: float, ahead: float) -> float:
    """Standard deviation of the noise that one step of the SDE adds."""
    eta = walk.amounts.eta
    return 0.0 if eta == 0.0 else end * math.sqrt(-math.expm1(-2 * eta * ahead))


def dpmpp_2m_sde(walk: Walk) -> Solver:
    """SDE-DPM-Solver++(2M), arXiv:2211.01095 appendix, midpoint form of k-diffusion. One call a step."""
    return _dpmpp_2m_sde(walk, heun=False)


def dpmpp_2m_sde_heun(walk: Walk) -> Solver:
    """The same with the second-order term of Heun's form."""
    return _dpmpp_2m_sde(walk, heun=True)


def dpmpp_3m_sde(walk: Walk) -> Solver:
    """The third-order multistep member of the family, after k-diffusion's `dpmpp_3m_sde`. One call a step."""
    x: Any = None
    answers: list[Any] = []
    spans: list[float] = []
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        if end == 0.0:
            return denoised
        ahead, alpha = walk.span(start, end), walk.alpha(end)
        total = ahead * (1 + walk.amounts.eta)
        x = x * _kept(walk, start, end) - denoised * (alpha * math.expm1(-total))
        known = [span for span in spans if math.isfinite(span)] if math.isfinite(ahead) else []
        if known:
            phi2 = math.expm1(-total) / total + 1
            slope = (denoised - answers[0]) * (ahead / known[0])
            if len(known) == 1:
                x = x + slope * (alpha * phi2)
            else:
                near, far = known[0] / ahead, known[1] / ahead
                older = (answers[0] - answers[1]) / far
                bend = slope - older
                x = x + (slope + bend * (near / (near + far))) * (alpha * phi2)
                x = x - bend * (alpha * (phi2 / total - 0.5) / (near + far))
        answers, spans = [denoised, *answers[:1]], [ahead, *spans[:1]]
        x = walk.renoise(x, 1.0, _fresh(walk, end, ahead))
    return x


def lcm(walk: Walk) -> Solver:
    """Multistep consistency sampling, algorithm 1 of arXiv:2303.01469 (LCM: arXiv:2310.04378)."""
    x: Any = None
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        x = denoised * walk.alpha(end)
        x = walk.renoise(x, 1.0, end)
    return x
