"""How long a job takes: its size from the request, its seconds from what this machine took for others.

The time of a job is a fixed part plus its megapixel-steps times a speed. Both come from the latest jobs of the model by
the Theil-Sen estimator (H. Theil 1950; P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau",
JASA 1968), which a few wild values do not move. How wrong that would have been for those same jobs, as a ratio, gives
the error bars: its 10 % and 90 % quantiles.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from modules.contracts.cost import is_sized, pictures_of, work_of
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult

SECONDS_PER_WORK = 1.0
"""Taken as long as nothing was measured. Shares need no more, since only ratios count; no ETA is given from it."""
WINDOW = 48
"""Measurements of a model that count; older ones are forgotten."""
SURE = 8
"""Measurements from which on the quantiles are taken as they are; with fewer the bars are made wider."""
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds: the likely value, and two values between which it falls four times in five."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one job took. `company` is the number of lanes that ran then, itself included."""

    work: float
    seconds: float
    company: int = 1
    native: int | None = None
    """Pixels of a picture, where the request left the size to the model."""


def measure(request: GenerationRequest, result: GenerationResult, seconds: float, company: int) -> Measurement | None:
    """What can be learnt from a job that took `seconds`; None from one that did not draw all of its pictures."""
    if result.interrupted or seconds <= 0 or len(result.pictures) != pictures_of(request):
        return None
    if is_sized(request) or request.hires.enabled:
        return Measurement(work_of(request), seconds, company)
    width, height = result.pictures[0].image.size
    native = width * height
    own = native if request.image is None else None
    return Measurement(work_of(request, native), seconds, company, own)


class SpeedModel:
    """Predicts seconds from the measurements of one model on one machine. Immutable."""

    def __init__(self, measured: Sequence[Measurement]) -> None:
        self._known = tuple(measured)[-WINDOW:]
        self.overhead, self.slope = _fit(self._known)
        ratios = sorted(one.seconds / max(self._likely(one.work), 1e-6) for one in self._known)
        self._low, self._middle, self._high = _quantile(ratios, LOW), _quantile(ratios, 0.5), _quantile(ratios, HIGH)
        if 0 < len(ratios) < SURE:
            doubt = 1 + 1 / len(ratios)
            self._low, self._high = min(self._low, self._middle / doubt), max(self._high, self._middle * doubt)

    @property
    def measured(self) -> int:
        """How many measurements it rests on."""
        return len(self._known)

    def _likely(self, work: float) -> float:
        return self.overhead + self.slope * work

    def predict(self, work: float) -> Spread:
        """Seconds on a lane for a job of that size."""
        likely = self._likely(work)
        return Spread(likely * self._low, likely * self._middle, likely * self._high)


def _fit(known: Sequence[Measurement]) -> tuple[float, float]:
    """Fixed seconds and seconds per megapixel-step, neither of them negative."""
    if not known:
        return 0.0, SECONDS_PER_WORK
    slopes = [
        (b.seconds - a.seconds) / (b.work - a.work)
        for a, b in combinations(known, 2)
        if abs(b.work - a.work) > 0.05 * max(a.work, b.work)
    ]
    through_zero = statistics.median(one.seconds / max(one.work, 1e-9) for one in known)
    slope = statistics.median(slopes) if len(slopes) >= SURE else through_zero
    if slope <= 0:
        return 0.0, through_zero
    overhead = statistics.median(one.seconds - slope * one.work for one in known)
    return (overhead, slope) if overhead >= 0 else (0.0, through_zero)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie, by linear interpolation; 1 for none."""
    if not ordered:
        return 1.0
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def sum_up(parts: Sequence[Spread]) -> Spread:
    """Several after one another. Errors are taken as independent, so their squares add up and not they themselves."""
    likely = sum(part.likely for part in parts)
    below = sum((part.likely - part.low) ** 2 for part in parts) ** 0.5
    above = sum((part.high - part.likely) ** 2 for part in parts) ** 0.5
    return Spread(max(likely - below, 0.0), likely, likely + above)
