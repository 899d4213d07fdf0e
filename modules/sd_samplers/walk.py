"""The road a sampler walks: sigmas, where it starts, how noise comes in. Shared by all solvers.

A noised picture is x = alpha * x0 + sigma * noise. For models with a beta schedule alpha is 1 (diffusers' Euler
scheduler keeps its latents that way); for flow-matching models alpha is 1 - sigma. Every formula below holds for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Solver = Generator[tuple[Any, float], tuple[Any, Any], Any]
"""A solver yields (x, sigma) where it wants the model's answer, is sent (x, denoised), and returns the finished x.

The x that comes back is the one that went out, unless the pipeline changed it in between (inpainting blends it with the
original). The first x is None: it is the pipeline that holds the initial noise. Sigmas never depend on x, so a solver
that is fed zeros tells where the model will be asked; those that find their way as they go (`solvers.Method.open`) are
the exception.
"""

MAX_CHURN = math.sqrt(2) - 1
"""Largest relative increase of sigma by churn (arXiv:2206.00364, algorithm 2)."""


@dataclass(frozen=True, slots=True)
class Stochasticity:
    """How much fresh noise a sampler adds."""

    eta: float = 1.0
    """Of ancestral and SDE samplers: 0 makes them deterministic, 1 is the full amount."""
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    """Factor on all added noise."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One trip along the sigmas, from index `first` to the last one, which is 0."""

    sigmas: tuple[float, ...]
    noise: Callable[[], Any]
    """Gives standard normal noise of the latents' shape, fresh at every call."""
    flow: bool = False
    first: int = 0
    amounts: Stochasticity = field(default_factory=Stochasticity)
    reached: Callable[[float], None] = lambda sigma: None
    """Told by solvers that find their way as they go: the sigma that they are at for good."""
    unguided: Callable[[Any], Any] = lambda denoised: denoised
    """The newest answer without guidance, given the one with it; the same where there is no guidance."""
    calm: frozenset[int] = frozenset()
    """Steps that begin without churn, as another sampler ends or began there."""

    def steps(self) -> Iterator[tuple[int, float, float]]:
        """Index, sigma to come from and sigma to go to, of every step still to be made."""
        for index in range(self.first, len(self.sigmas) - 1):
            yield index, self.sigmas[index], self.sigmas[index + 1]

    def alpha(self, sigma: float) -> float:
        """The share of the picture at that sigma."""
        return 1.0 - sigma if self.flow else 1.0

    def log_snr(self, sigma: float) -> float:
        """Half the log of the signal-to-noise ratio, log(alpha / sigma); infinite at the ends of the road."""
        if sigma <= 0.0:
            return math.inf
        alpha = self.alpha(sigma)
        return math.log(alpha / sigma) if alpha > 0.0 else -math.inf

    def span(self, start: float, end: float) -> float:
        """Length of a step in half log SNR."""
        return self.log_snr(end) - self.log_snr(start)

    def drift(self, x: Any, denoised: Any, start: float, end: float) -> Any:
        """The exact step when `denoised` stays what it is; also Euler's step, for both kinds of model."""
        ratio = end / start
        if end == 0.0:
            return denoised
        return x * ratio + denoised * (self.alpha(end) - self.alpha(start) * ratio)

    def decay(self, start: float, end: float) -> float:
        """exp(-span), without a detour over infinities."""
        return end * self.alpha(start) / (start * self.alpha(end))

    def raised(self, index: int) -> float:
        """The sigma at which step `index` begins once churn has raised it (arXiv:2206.00364, algorithm 2)."""
        sigma, amounts = self.sigmas[index], self.amounts
        if amounts.s_churn <= 0.0 or index in self.calm or not amounts.s_tmin <= sigma <= amounts.s_tmax:
            return sigma
        higher = sigma * (1.0 + min(amounts.s_churn / (len(self.sigmas) - 1), MAX_CHURN))
        return min(higher, 1.0) if self.flow else higher

    def enter(self, x: Any, index: int) -> tuple[Any, float]:
        """Begin a step: x with the noise that churn asks for, and its sigma.

        The first x (None) is made by the pipeline at the raised sigma already.
        """
        sigma, higher = self.sigmas[index], self.raised(index)
        if x is None or higher == sigma or self.alpha(sigma) == 0.0:
            return x, higher
        scale = self.alpha(higher) / self.alpha(sigma)
        extra = math.sqrt(max(higher**2 - (scale * sigma) ** 2, 0.0))
        return x * scale + self.noise() * (extra * self.amounts.s_noise), higher

    def ancestral(self, start: float, end: float) -> tuple[float, float, float]:
        """A step to `end` with fresh noise, as (sigma to go down to, factor on x afterwards, amount of noise).

        The amount is eta times the standard deviation of the exact posterior, so that eta 1 is DDPM and eta 0 is DDIM
        (arXiv:2010.02502, equation 16, written for sigmas; k-diffusion's ancestral step is the same).
        """
        if end == 0.0:
            return 0.0, 1.0, 0.0
        up = min(end, self.amounts.eta * end * math.sqrt(max(1.0 - self.decay(start, end) ** 2, 0.0)))
        quotient = math.sqrt(max(end**2 - up**2, 0.0)) / self.alpha(end)
        down = quotient / (1.0 + quotient) if self.flow else quotient
        return down, self.alpha(end) / self.alpha(down), up

    def renoise(self, x: Any, scale: float, up: float) -> Any:
        """The second half of an ancestral step. Draws nothing when there is nothing to add."""
        x = x if scale == 1.0 else x * scale
        return x if up == 0.0 else x + self.noise() * (up * self.amounts.s_noise)


def adams_weights(nodes: list[float], moments: list[float]) -> list[float]:
    """Weights w with sum(w_j * node_j**k) = moments[k]: the integral of the polynomial through values at the nodes."""
    matrix = np.vander(np.asarray(nodes), increasing=True).T
    return [float(weight) for weight in np.linalg.solve(matrix, np.asarray(moments))]
