"""Arithmetic of guidance methods. Tensors have the pictures first; no picture's numbers reach another's."""

from __future__ import annotations

import math

import torch


def scale_at(step: int, steps: int, scale: float, *, window: tuple[float, float], shape: str) -> float:
    """The CFG scale at `step` of `steps`, counted from 1; 1, which is no guidance, outside `window` (shares of them).

    A limited interval after Kynkäänniemi et al. (arXiv:2404.07724); scales that go up or down after Wang et al.
    (arXiv:2404.13040), here between 1 and `scale` rather than round a mean. A window of one step has the whole scale.
    """
    inside = [each for each in range(1, steps + 1) if window[0] <= (each - 1) / steps < window[1]]
    if step not in inside:
        return 1.0
    curve, _, way = shape.partition(" ")
    if not way or len(inside) == 1:
        return scale
    share = (step - inside[0]) / (len(inside) - 1)
    share = share if way == "up" else 1 - share
    return 1 + (scale - 1) * (share if curve == "linear" else (1 - math.cos(math.pi * share)) / 2)


def rescaled(guided: torch.Tensor, bound: torch.Tensor, amount: float) -> torch.Tensor:
    """`guided` with a deviation nearer to that of the answer to the prompt (Lin et al., arXiv:2305.08891, 3.4)."""
    axes = _inner(guided)
    factor = bound.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return guided * (amount * factor + (1 - amount))


def threshold(clean: torch.Tensor, mimic: torch.Tensor, percentile: float) -> torch.Tensor:
    """Clean latents (B, C, H, W) with the spread that those of a lower scale, `mimic`, have, channel by channel.

    Dynamic thresholding: Saharia et al. (arXiv:2205.11487, section 2.3) for latents, as the extension
    sd-dynamic-thresholding does it by default. A channel keeps its mean; what is further from it than `percentile`
    (0 to 100) of its values is cut off there, and the farthest then lies as far as the farthest of `mimic`. Where
    `mimic` reaches further than that, nothing is cut off and the farthest shrinks in the same proportion.
    """
    flat, wanted = clean.flatten(2), mimic.flatten(2)
    mean = flat.mean(dim=2, keepdim=True)
    away = flat - mean
    reach = (wanted - wanted.mean(dim=2, keepdim=True)).abs().amax(dim=2, keepdim=True)
    limit = torch.maximum(reach, quantile(away.abs(), percentile / 100))
    # A channel of one value has no spread to bring anywhere.
    factor = torch.where(limit > 0, reach / limit.clamp(min=torch.finfo(limit.dtype).tiny), torch.ones_like(limit))
    return (away.clamp(-limit, limit) * factor + mean).reshape(clean.shape)


def quantile(values: torch.Tensor, share: float) -> torch.Tensor:
    """The quantile along the last axis, which stays as one, straight between neighbours. Of any number of values, which
    torch's own is not."""
    rank = share * (values.shape[-1] - 1)
    low = math.floor(rank)
    ranked = values.sort(dim=-1).values
    below, above = (ranked[..., place : place + 1] for place in (low, min(low + 1, values.shape[-1] - 1)))
    return below + (above - below) * (rank - low)


class Projection:
    """Adaptive projected guidance (Sadat et al., arXiv:2410.02416) of one lane's pass, one call after the other.

    Keeps the momentum, the only thing that goes from one call to the next.
    """

    def __init__(self, parallel: float, longest: float, momentum: float) -> None:
        """`parallel`, `longest` and `momentum` are the paper's eta, r and beta; `longest` 0 is without a limit."""
        self._parallel, self._longest, self._momentum = parallel, longest, momentum
        self._sum: torch.Tensor | None = None

    def __call__(self, push: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        """The difference that guidance makes, `push`, without most of its part along `clean`, what the prompt alone
        gives; both are clean latents."""
        self._sum = push = push if self._sum is None else push + self._momentum * self._sum
        axes = _inner(push)
        if self._longest > 0:
            length = push.square().sum(dim=axes, keepdim=True).sqrt()
            push = push * (self._longest / length.clamp(min=self._longest))
        along = along_with(push, clean)
        return push - along + self._parallel * along


def along_with(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The part of `one` that has the direction of `other`, picture by picture; nothing where `other` is nothing."""
    return share_along(one, other) * other


def share_along(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """By what `other` has to be multiplied to come as near to `one` as it can, picture by picture.

    This is the optimised scale of CFG-Zero* (Fan et al., arXiv:2503.18886) with the answer to the prompt as `one` and
    the unguided one as `other`.
    """
    axes = _inner(one)
    square = other.square().sum(dim=axes, keepdim=True)
    product = (one * other).sum(dim=axes, keepdim=True)
    return torch.where(square > 0, product / square.clamp(min=torch.finfo(square.dtype).tiny), torch.zeros_like(square))


def _inner(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(range(1, tensor.ndim))
