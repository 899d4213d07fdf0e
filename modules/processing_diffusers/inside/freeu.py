"""FreeU (Si et al., arXiv:2309.11497) for some samples of a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from diffusers.utils.torch_utils import apply_freeu

from modules.processing_diffusers.inside.attention import rows_of

Factors = tuple[float, float, float, float]
"""b1, b2, s1, s2."""
STAGES = 2
"""Blocks of the way up that are changed, from the innermost."""


@contextlib.contextmanager
def weigh_features(unet: Any, factors: Mapping[int, Factors], count: int) -> Iterator[None]:
    """For the samples in `factors` of `count`, the first two blocks of the way up weigh what comes into their layers:
    half of the channels from below by b, the coarse parts of those from the way down by s.

    The arithmetic is diffusers' own, which `enable_freeu` does for whole batches.
    """
    below = unet.mid_block.resnets[-1].out_channels
    with contextlib.ExitStack() as stack:
        for stage, block in enumerate(unet.up_blocks[:STAGES]):
            for resnet in block.resnets:
                handle = resnet.register_forward_pre_hook(_weigher(stage, below, factors, count))
                stack.callback(handle.remove)
                below = resnet.out_channels
        yield


def _weigher(
    stage: int, below: int, factors: Mapping[int, Factors], count: int
) -> Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]:
    """The hook of one layer, whose first `below` channels come from the layer before it."""
    groups: dict[Factors, list[int]] = {}
    for place, each in factors.items():
        groups.setdefault(each, []).append(place)

    def weigh(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed = given[0].clone()
        for (b1, b2, s1, s2), places in groups.items():
            where = rows_of(places, count, mixed)
            part: torch.Tensor = mixed[where]
            lower, skipped = part[:, :below].clone(), part[:, below:].clone()
            lower, skipped = apply_freeu(stage, lower, skipped, b1=b1, b2=b2, s1=s1, s2=s2)
            mixed[where] = torch.cat([lower, skipped], dim=1)
        return (mixed, *given[1:])

    return weigh
