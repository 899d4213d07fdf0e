"""Self-attention that sees less, for some samples of a call.

Both work on what goes between an attention's own layers, so whatever computes the attention in between, and whatever
networks add to these layers, is as ever.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from modules.contracts.attention import WHOLE_PICTURE


@contextlib.contextmanager
def keep_to_itself(attention: Any, places: Sequence[int], count: int) -> Iterator[None]:
    """For the samples at `places` of `count`, the attention map is the identity: each place gets its own value.

    Perturbed attention guidance (Ahn et al., arXiv:2403.17377, section 4.2).
    """
    values: list[torch.Tensor] = []

    def remember(layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> None:
        values[:] = [output]

    def replace(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed = given[0].clone()
        where = rows_of(places, count, mixed)
        mixed[where] = values.pop()[where].to(mixed.dtype)
        return (mixed, *given[1:])

    with contextlib.ExitStack() as stack:
        stack.callback(attention.to_v.register_forward_hook(remember).remove)
        stack.callback(attention.to_out[0].register_forward_pre_hook(replace).remove)
        yield


@contextlib.contextmanager
def blur_queries(attention: Any, grid: Any, blurs: Mapping[int, float], count: int) -> Iterator[None]:
    """For the samples in `blurs` of `count`, queries are blurred over the picture by so many cells.

    Smoothed energy guidance (Hong, arXiv:2408.00760, section 4.2). `grid` is the module round the attention, which sees
    cells in rows and columns. Beyond the edges there is nothing: weights are shared out among the cells that are there.
    """
    shape: list[int] = []

    def measure(module: Any, given: tuple[Any, ...]) -> None:
        shape[:] = given[0].shape[-2:]

    def blur(layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        queries, (height, width) = output.clone(), shape
        if queries.shape[1] != height * width:
            raise RuntimeError(f"{queries.shape[1]} queries came for {height} × {width} cells")
        for place, amount in blurs.items():
            where = rows_of([place], count, queries)
            queries[where] = blurred(queries[where], height, width, amount)
        return queries

    with contextlib.ExitStack() as stack:
        stack.callback(grid.register_forward_pre_hook(measure).remove)
        stack.callback(attention.to_q.register_forward_hook(blur).remove)
        yield


def blurred(tokens: torch.Tensor, height: int, width: int, amount: float) -> torch.Tensor:
    """Tokens (B, `height` × `width`, C) blurred by a Gaussian with a standard deviation of `amount` cells."""
    if amount >= WHOLE_PICTURE:
        return tokens.mean(dim=1, keepdim=True).expand_as(tokens)
    wide = tokens.double() if tokens.dtype == torch.float64 else tokens.float()
    cells = wide.reshape(tokens.shape[0], height, width, -1)
    down, across = (_weights(length, amount).to(wide) for length in (height, width))
    mixed = torch.einsum("yh,bhwc->bywc", down, cells)
    return torch.einsum("xw,bywc->byxc", across, mixed).reshape(tokens.shape).to(tokens.dtype)


def _weights(length: int, amount: float) -> torch.Tensor:
    """Row by row the share that each of so many cells has in the blurred one."""
    places = torch.arange(length, dtype=torch.float64)
    weights = torch.exp(-((places[:, None] - places[None]) ** 2) / (2 * amount**2))
    weights[weights < math.exp(-18)] = 0.0  # six standard deviations away
    return weights / weights.sum(dim=1, keepdim=True)


def rows_of(places: Sequence[int], count: int, tensor: torch.Tensor) -> torch.Tensor:
    """Rows of `tensor` that belong to those of `count` samples; where it has more rows, each sample has several."""
    times, rest = divmod(tensor.shape[0], count)
    if rest:
        raise RuntimeError(f"a layer has {tensor.shape[0]} rows for {count} samples, so they cannot be told apart")
    return torch.tensor([place * times + part for place in places for part in range(times)], device=tensor.device)
