"""Sigma schedules: at which noise levels a sampler stands. Pure functions over numpy arrays.

Every schedule takes a `NoiseTable` and a number of steps and gives that many sigmas, from the largest down to the
smallest that the model knows; `sigmas_for` appends the zero at which a picture is finished. Sigma is the ratio of noise
to signal for models with a beta schedule and the share of noise, 0 to 1, for flow-matching models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from modules.contracts.errors import InvalidRequest
from modules.sd_samplers.incomplete_beta import beta_quantile

Array = npt.NDArray[np.float64]

AYS_SD = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
AYS_SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)
"""Published ten-step schedules of Align Your Steps (arXiv:2404.14507) for Stable Diffusion 1.5 and SDXL."""


@dataclass(frozen=True, slots=True)
class NoiseTable:
    """The noise levels a model was trained on, ascending, one per training step."""

    sigmas: Array
    logarithmic: bool
    """Values between two training steps are interpolated in log sigma (beta schedules) or in sigma (flow)."""
    anchors: tuple[float, ...] = AYS_SD
    """Which Align Your Steps schedule belongs to the model."""

    @property
    def smallest(self) -> float:
        """Least noise the model knows."""
        return float(self.sigmas[0])

    @property
    def largest(self) -> float:
        """Most noise the model knows."""
        return float(self.sigmas[-1])

    def sigma_at(self, times: Array) -> Array:
        """Sigmas at training steps counted from 0; parts of a step are allowed."""
        index = np.arange(len(self.sigmas), dtype=np.float64)
        if self.logarithmic:
            return np.exp(np.interp(times, index, np.log(self.sigmas)))
        return np.interp(times, index, self.sigmas)

    def time_at(self, sigmas: Array) -> Array:
        """The training steps of sigmas, the inverse of `sigma_at`; beyond the ends it stays at the ends."""
        index = np.arange(len(self.sigmas), dtype=np.float64)
        if self.logarithmic:
            return np.interp(np.log(np.maximum(sigmas, 1e-10)), np.log(self.sigmas), index)
        return np.interp(sigmas, self.sigmas, index)


def karras(noise: NoiseTable, steps: int, rho: float = 7.0) -> Array:
    """Equation 5 of Karras et al. (arXiv:2206.00364): even steps in the rho-th root of sigma."""
    return np.asarray(karras_between(noise.largest, noise.smallest, steps, rho))


def karras_between(largest: float, smallest: float, steps: int, rho: float = 7.0) -> list[float]:
    """`karras` between two given sigmas, both among the result."""
    high, low = largest ** (1 / rho), smallest ** (1 / rho)
    return [float((high + part * (low - high)) ** rho) for part in np.linspace(0, 1, steps)]


def exponential(noise: NoiseTable, steps: int) -> Array:
    """Even steps in log sigma."""
    return np.exp(np.linspace(math.log(noise.largest), math.log(noise.smallest), steps))


def polyexponential(noise: NoiseTable, steps: int, rho: float = 1.0) -> Array:
    """Steps in log sigma that follow a ramp to the power of rho; rho 1 is `exponential`. After k-diffusion."""
    ramp = np.linspace(1, 0, steps) ** rho
    low, high = math.log(noise.smallest), math.log(noise.largest)
    return np.exp(ramp * (high - low) + low)


def uniform(noise: NoiseTable, steps: int) -> Array:
    """Even steps in training time with both ends: `linspace` of arXiv:2305.08891, table 2."""
    return noise.sigma_at(np.linspace(len(noise.sigmas) - 1, 0, steps))


def sgm_uniform(noise: NoiseTable, steps: int) -> Array:
    """Even steps in training time whose next one would be the end: `trailing` of arXiv:2305.08891, as SGM does it."""
    return noise.sigma_at(np.linspace(len(noise.sigmas) - 1, 0, steps + 1)[:-1])


def simple(noise: NoiseTable, steps: int) -> Array:
    """Every so-many-th entry of the table, counted from its noisy end, without interpolation."""
    stride = len(noise.sigmas) / steps
    picks = [len(noise.sigmas) - 1 - int(step * stride) for step in range(steps)]
    return noise.sigmas[picks]


def ddim_uniform(noise: NoiseTable, steps: int) -> Array:
    """Every so-many-th entry counted from the clean end, without interpolation: DDIM's own `leading` spacing."""
    stride = max(len(noise.sigmas) // steps, 1)
    first = 1 if 1 + stride * (steps - 1) < len(noise.sigmas) else 0
    picks = np.minimum(first + stride * np.arange(steps), len(noise.sigmas) - 1)
    return noise.sigmas[picks[::-1]]


def kl_optimal(noise: NoiseTable, steps: int) -> Array:
    """Even steps in the angle whose tangent is sigma: the optimum for Gaussian data, arXiv:2404.14507, section 3."""
    return np.tan(np.linspace(math.atan(noise.largest), math.atan(noise.smallest), steps))


def align_your_steps(noise: NoiseTable, steps: int) -> Array:
    """The published anchors (arXiv:2404.14507), interpolated in log sigma over the step number.

    The anchors reach from 14.615 to 0.029; for a model of another range they are stretched to it in log sigma.
    """
    anchors = np.log(np.asarray(noise.anchors))
    positions = np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
    placed = np.interp(positions, np.linspace(0, 1, len(anchors)), anchors)
    low, high = math.log(noise.smallest), math.log(noise.largest)
    share = (placed - anchors[-1]) / (anchors[0] - anchors[-1])
    return np.exp(low + share * (high - low))


def beta(noise: NoiseTable, steps: int, alpha: float = 0.6, b: float = 0.6) -> Array:
    """Sigmas at even quantiles of a Beta(0.6, 0.6) distribution (arXiv:2407.12173): dense at both ends."""
    share = np.array(_beta_shares(steps, alpha, b))
    return noise.smallest + share * (noise.largest - noise.smallest)


@lru_cache(maxsize=64)
def _beta_shares(steps: int, alpha: float, b: float) -> tuple[float, ...]:
    """The quantiles of `beta`; a few milliseconds each, so they are remembered for every number of steps."""
    return tuple(beta_quantile(float(q), alpha, b) for q in 1 - np.linspace(0, 1, steps))


SCHEDULES: dict[str, Callable[..., Array]] = {
    "uniform": uniform,
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "sgm_uniform": sgm_uniform,
    "kl_optimal": kl_optimal,
    "align_your_steps": align_your_steps,
    "simple": simple,
    "normal": uniform,
    "ddim": ddim_uniform,
    "beta": beta,
}
"""By internal name. `normal` is `uniform`: A1111's two differ in rounding only."""


def sigmas_for(name: str, noise: NoiseTable, steps: int, *, discard_penultimate: bool = False, **shape: Any) -> Array:
    """`steps` + 1 sigmas, strictly falling, the last of them 0.

    `discard_penultimate` makes the schedule one longer and leaves out the smallest sigma before zero, as A1111 does for
    some samplers. `shape` goes to the schedule (`rho`). Raises `InvalidRequest` for more steps than the model's table
    has entries and `KeyError` for an unknown name.
    """
    schedule = SCHEDULES[name]
    if not 1 <= steps <= len(noise.sigmas):
        raise InvalidRequest(f"{steps} steps were asked for; allowed is 1 to {len(noise.sigmas)} with this model.")
    if discard_penultimate and 1 < steps < len(noise.sigmas):
        found = schedule(noise, steps + 1, **shape)[:-1]
    else:
        found = schedule(noise, steps, **shape)
    return np.append(found, 0.0)
