"""Guidance of one pass where it is more than one scale: what each call gets, and how two answers become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from modules.contracts.guidance import GuidanceParams
from modules.processing_diffusers.branches import Branches
from modules.processing_diffusers.guidance import PLUS_SHARE
from modules.processing_diffusers.guidance_methods import Projection, rescaled, scale_at, share_along, threshold
from modules.processing_diffusers.tail import ScheduleTail

Cells = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class GuidedPass:
    """What of a pass guidance has to know."""

    scale: float
    """CFG scale."""
    steps: int
    pictures: int
    """Pictures drawn together; a guided answer has twice as many rows."""
    rescale: float = 0.0
    """Amount of CFG rescale."""
    noise: bool = True
    """It begins with nothing but noise."""
    begin: int = 0
    """Steps of the pass that lie before those of the tail."""
    guided: bool = True
    """The pipeline asks for the unguided answer, too."""


class GuidanceCourse:
    """Guides one pass of one lane. What it keeps (count of calls, momentum) is that pass's alone.

    It is asked by `spare` before each call of the denoiser, hears the answer by `hear` and mixes it in `mix`, where the
    latents are known, so that methods that work on clean latents get them whatever the model predicts.
    """

    def __init__(
        self,
        wishes: GuidanceParams,
        around: GuidedPass,
        tail: ScheduleTail,
        *,
        sparing: Callable[[], bool] | None = None,
        branches: Branches | None = None,
        unpack: Cells = lambda latents: latents,
        pack: Cells = lambda latents: latents,
    ) -> None:
        """`sparing` says of each call whether it goes without the negative prompt anyway. `unpack` brings latents from
        the denoiser's layout to (B, C, H, W), `pack` back. `branches` has what else is asked for in each call."""
        self._wishes, self._around, self._tail, self._sparing = wishes, around, tail, sparing
        self._unpack, self._pack, self._branches = unpack, pack, branches
        self._calls, self._step, self._scale, self._alone = 0, 1, around.scale, False
        self._heard: tuple[torch.Tensor, torch.Tensor] | None = None
        self._projection = (
            Projection(wishes.apg_parallel, wishes.apg_threshold, wishes.apg_momentum) if wishes.apg else None
        )

    def spare(self) -> bool:
        """Whether the coming call is made for the prompt alone. Asked once for each call."""
        wishes, around = self._wishes, self._around
        self._step = around.begin + self._tail.step_at(self._calls)
        self._calls += 1
        if self._branches is not None:
            self._branches.share = (self._step - 1) / around.steps
        if not around.guided:
            return False
        window = (wishes.start, wishes.end)
        self._scale = scale_at(self._step, around.steps, around.scale, window=window, shape=wishes.schedule)
        spared = self._sparing is not None and self._sparing()
        self._alone = spared or self._scale == 1
        return self._alone

    def hear(self, output: torch.Tensor) -> torch.Tensor:
        """Keep the two answers, unguided rows first; what the pipeline makes of them is not used."""
        guided = not self._alone and output.shape[0] == 2 * self._around.pictures
        self._heard = None
        if guided:
            free, bound = output.chunk(2)
            self._heard = free, bound
            if self._tail.plus:
                self._tail.hear(free)
        return output

    def mix(self, output: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """The answer that the sampler gets at latents `sample`; `output` is the pipeline's own mixture."""
        if self._step <= self._wishes.zero_steps and self._around.noise:
            return torch.zeros_like(output)
        if self._heard is None:
            return self._led(output, output)
        free, bound = self._heard
        self._heard = None
        if self._tail.plus:
            return free + self._scale * PLUS_SHARE * (bound - free)
        if self._wishes.zero_star:
            free = free * share_along(bound, free)
        if self._projection is None and self._wishes.mimic_scale <= 0:
            guided = free + self._scale * (bound - free)
        else:
            guided = self._tail.answer(self._clean(free, bound, sample), sample)
        guided = self._led(guided, bound)
        return rescaled(guided, bound, self._around.rescale) if self._around.rescale > 0 else guided

    def _led(self, guided: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
        return guided if self._branches is None else self._branches.lead(guided, bound)

    def _clean(self, free: torch.Tensor, bound: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """What guidance takes the clean latents to be."""
        alone = self._tail.denoise(bound, sample)
        push = alone - self._tail.denoise(free, sample)
        if self._projection is not None:
            push = self._projection(push, alone)
        clean, mimic = alone + (self._scale - 1) * push, self._wishes.mimic_scale
        if not 0 < mimic < self._scale:
            return clean
        mimicked = self._unpack(alone + (mimic - 1) * push)
        return self._pack(threshold(self._unpack(clean), mimicked, self._wishes.threshold_percentile))


def fitting(wishes: GuidanceParams, *, flow: bool, plus: bool) -> GuidanceParams:
    """The wishes as far as they can be met: CFG-Zero* with flow models, and with CFG++ samplers none that mixes."""
    if plus:
        wishes = replace(wishes, mimic_scale=0.0, apg=False)
    return wishes if flow and not plus else replace(wishes, zero_star=False, zero_steps=0)
