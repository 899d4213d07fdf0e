"""The loop of a first stage that draws what a second one is shown: Stable Cascade's prior.

In place of the library's own, which knows one scheduler and scales nothing for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


class FirstStage:
    """A pipeline for a lane: words and noise in, latents of the first stage out. Guidance is the stand-in's."""

    def __init__(self, prior: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> None:
        self.prior, self.text_encoder, self.tokenizer, self.scheduler = prior, text_encoder, tokenizer, scheduler

    @torch.no_grad()
    def __call__(
        self,
        *,
        words: dict[str, torch.Tensor],
        latents: torch.Tensor,
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]],
        **rest: Any,
    ) -> Sequence[torch.Tensor]:
        """Latents (pictures, C, height, width) after all steps of the scheduler; what `rest` says stands in them."""
        scheduler = self.scheduler
        for index, time in enumerate(scheduler.timesteps):
            sample = scheduler.scale_model_input(latents, time)
            answer = self.prior(sample=sample, timestep=time.expand(len(latents)), **words)[0]
            latents = scheduler.step(answer, time, latents, return_dict=False)[0]
            latents = callback_on_step_end(self, index, time, {"latents": latents})["latents"]
        return (latents,)
