"""Exponential integrators in half log SNR: DPM-Solver++ and UniPC. See `walk.Solver` for the protocol."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modules.sd_samplers.walk import Solver, Walk


def dpmpp_2m(walk: Walk) -> Solver:
    """DPM-Solver++(2M), algorithm 2 of arXiv:2211.01095, with a first-order last step. One call a step."""
    x: Any = None
    old: Any = None
    before = math.inf
    for _, start, end in walk.steps():
        x, denoised = yield x, start
        ahead = walk.span(start, end)
        if old is None or math.isinf(before) or math.isinf(ahead):
            guess = denoised
        else:
            guess = denoised + (denoised - old) * (ahead / (2 * before))
        old, before = denoised, ahead
        x = walk.drift(x, guess, start, end)
    return x


@dataclass(slots=True)
class _Stride:
    """One step of UniPC with the answers of the model known at its start, newest first."""

    walk: Walk
    start: float
    end: float
    order: int
    answers: list[Any]
    nodes: list[float] = field(default_factory=list)
    """Half log SNR of the older answers relative to the start, in units of the step."""
    length: float = field(init=False)
    """The step in half log SNR, negated as the paper has it for data prediction."""
    scale: float = field(init=False)
    """B(h)."""
    reach: float = field(init=False)
    """alpha at the end times B(h)."""

    def __post_init__(self) -> None:
        self.length = -self.walk.span(self.start, self.end)
        self.scale = math.expm1(self.length)
        self.reach = self.walk.alpha(self.end) * self.scale

    def weights(self, nodes: list[float]) -> list[float]:
        """Solve the order conditions of arXiv:2302.04867, equation 10, for data prediction and B(h) = e^h - 1."""
        factor = math.expm1(self.length) / self.length - 1
        factorial, conditions = 1, []
        for power in range(1, len(nodes) + 1):
            conditions.append(factor * factorial / self.scale)
            factorial *= power + 1
            factor = factor / self.length - 1 / factorial
        matrix = np.vander(np.asarray(nodes), increasing=True).T
        return [float(weight) for weight in np.linalg.solve(matrix, np.asarray(conditions))]

    def change(self, arrived: Any = None) -> Any:
        """What the higher orders add to the first-order step; with `arrived`, the corrector that uses that answer."""
        nodes = self.nodes[: self.order - 1]
        newest = self.answers[0]
        slopes = [(answer - newest) / node for answer, node in zip(self.answers[1 : self.order], nodes, strict=True)]
        if arrived is not None:
            nodes, slopes = [*nodes, 1.0], [*slopes, arrived - newest]
        # One unknown is 1/2 for every B(h) by convention of the paper, which keeps the order and saves a solve.
        weights = [0.5] if len(nodes) == 1 else self.weights(nodes)
        total: Any = 0.0
        for slope, weight in zip(slopes, weights, strict=True):
            total = total - slope * (weight * self.reach)
        return total


def unipc(walk: Walk) -> Solver:
    """UniPC of order 3 with B2(h), algorithms 1 and 2 of arXiv:2302.04867: predictor and corrector for one call a step.

    Orders fall towards the end (3, 2, 1), as in A1111. The corrector is added to whatever x came back, so that blending
    by the pipeline is kept.
    """
    x: Any = None
    answers: list[Any] = []
    places: list[float] = []
    last: _Stride | None = None
    for index, start, end in walk.steps():
        x, denoised = yield x, start
        if last is not None and math.isfinite(last.length):
            x = x + (last.change(denoised) - last.change())
        answers, places = [denoised, *answers[:2]], [walk.log_snr(start), *places[:2]]
        known = sum(1 for place in places if math.isfinite(place))
        order = max(1, min(3, len(walk.sigmas) - 1 - index, known))
        stride = _Stride(walk, start, end, order, answers)
        stride.nodes = [(place - places[0]) / -stride.length for place in places[1:order]]
        x = walk.drift(x, denoised, start, end)
        if order > 1:
            x = x + stride.change()
        last = stride
    return x
