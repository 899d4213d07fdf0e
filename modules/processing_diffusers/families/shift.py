"""How far a flow schedule is shifted towards noise for a picture of a given size."""

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
