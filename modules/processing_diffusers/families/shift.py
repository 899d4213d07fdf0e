"""Where the steps of a flow schedule stand, and how far it is shifted towards noise for a picture of a given size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shift_for(tokens: int, config: Mapping[str, Any], *, largest: float) -> float:
    """`mu` for that many tokens: a straight line through the two ends that the scheduler's config names.

    Esser et al., Scaling Rectified Flow Transformers (2024), section 5.3.2. `largest` stands in for a missing
    `max_shift`.
    """
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", largest)
    return float(low + (tokens - few) * (high - low) / (many - few))


def even_levels(steps: int) -> list[float]:
    """The level at which each step begins, before shifting: even from 1 down to 1/`steps`, so that all are as long.

    As Flux and the families after it were published. A scheduler left alone ends at its least level instead, and spends
    its last step on next to nothing.
    """
    return [1 - step / steps for step in range(steps)]


FEW, MANY, WIDE = 10, 200, 4300
"""Steps at which the shift of Flux.2 was measured, and the number of tokens beyond which steps do not count."""


def measured_shift_for(tokens: int, steps: int) -> float:
    """`mu` of Flux.2 for that many tokens and steps: between two lines that Black Forest Labs fitted to what drew best.

    https://github.com/black-forest-labs/flux2, `compute_empirical_mu`.
    """
    long, short = 0.00016927 * tokens + 0.45666666, 8.73809524e-05 * tokens + 1.89833333
    if tokens > WIDE:
        return float(long)
    return float(short + (long - short) * (steps - FEW) / (MANY - FEW))
