"""Quantiles of the beta distribution, for the schedule that is named after it, without another library."""

from __future__ import annotations

import math


def beta_quantile(share: float, a: float, b: float) -> float:
    """The x in [0, 1] below which `share` of a Beta(a, b) distribution lies, to 1e-13, by bisection."""
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-13 * max(high, 1e-12):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if beta_distribution(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_distribution(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_distribution(1.0 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + …)), evaluated from the inside. 80 terms are far more than x below the mean needs."""
    value = 1.0
    for term in range(80, 0, -1):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1.0 + d / value
    return value
