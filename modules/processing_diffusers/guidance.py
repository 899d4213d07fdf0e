"""Classifier-free guidance where a pipeline's own does not reach."""

from __future__ import annotations

from collections.abc import Callable

import torch

from modules.processing_diffusers.guidance_methods import rescaled


def make_rescale(scale: float, amount: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """CFG rescale (Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed, 2024, section 3.4).

    The function takes a denoiser's output (unguided rows first, then guided ones) and gives one of the same shape in
    which both halves are the rescaled result, so that whatever scale the pipeline mixes them with changes nothing.
    """

    def rescale(output: torch.Tensor) -> torch.Tensor:
        if scale <= 1:
            return output
        free, bound = output.chunk(2)
        guided = free + scale * (bound - free)
        mixed = rescaled(guided, bound, amount)
        return torch.cat([mixed, mixed])

    return rescale


PLUS_SHARE = 1 / 12.5
"""Part of the CFG scale that CFG++ guides with, as in A1111: its own scale lies between 0 and 1, 7 stands for 0.56."""


def make_plus(scale: float, tell: Callable[[torch.Tensor], None]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Guidance of CFG++ (arXiv:2406.08070): mixes with a share of the scale and tells what was said without guidance.

    Takes and gives what `make_rescale`'s function does. Without guidance (scale 1 and below) it changes and tells
    nothing.
    """

    def guide(output: torch.Tensor) -> torch.Tensor:
        if scale <= 1:
            return output
        free, bound = output.chunk(2)
        tell(free)
        mixed = free + scale * PLUS_SHARE * (bound - free)
        return torch.cat([mixed, mixed])

    return guide


class Sparing:
    """Which model calls of a pass leave the negative prompt out: those at a low noise level, where it changes little.

    A1111's `s_min_uncond` ("negative guidance minimum sigma"): every second call, or every one.
    """

    def __init__(self, below: float, every: bool, level: Callable[[], float]) -> None:
        """`level` gives the sigma of the coming call; `below` is on the same scale, that of the sampler's schedule."""
        self._below, self._every, self._level = below, every, level
        self._calls = 0

    def __call__(self) -> bool:
        """Whether the coming call is made for the prompt alone. Asked once for each call."""
        odd = self._calls % 2 == 1
        self._calls += 1
        return (odd or self._every) and self._level() < self._below
