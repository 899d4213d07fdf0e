"""Weights of tokens brought into what a text encoder said of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def weigh(hidden: torch.Tensor, weights: Sequence[float], mode: str) -> torch.Tensor:
    """The encoder's output for one piece, of shape (tokens, width), with each token's row multiplied by its weight.

    With the mode `Original` the whole is then brought back to the mean that it had, as A1111 does; with `No norm` it is
    left as it came out. `Ignore` and `None` never carry weights. A piece that weighs nothing comes back bit for bit.
    """
    if weights.count(1.0) == len(weights):
        return hidden
    factors = torch.tensor(weights, dtype=hidden.dtype, device=hidden.device)[:, None]
    weighted = hidden * factors
    if mode != "Original":
        return weighted
    before, after = hidden.mean(), weighted.mean()
    # A mean of nothing has no direction to be brought back in; without this one token could make the rest infinite.
    return weighted if after == 0 else weighted * (before / after)
