"""Classifier-free guidance where a pipeline's own does not reach."""

from __future__ import annotations

from collections.abc import Callable

import torch


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
        axes = tuple(range(1, guided.ndim))
        factor = bound.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
        mixed = guided * (amount * factor + (1 - amount))
        return torch.cat([mixed, mixed])

    return rescale
