"""Stable Diffusion 1 and 2: one text encoder, one sequence of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.catalog import Family
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, stack
from modules.prompts.encoding import EncoderSpec, Reading

PLAIN = "StableDiffusionPipeline"


class SdAdapter(FamilyAdapter):
    """Talks to `StableDiffusionPipeline` and `StableDiffusionInpaintPipeline`."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (EncoderSpec("tokenizer", "text_encoder", skips=True, normed=True),)
    repeats: ClassVar[bool] = True

    def pipeline_name(self, family: Family) -> str:
        """An editing model's own pipeline guides three rows at a time; here the plain one is shown the picture."""
        return PLAIN if family.seen_channels else super().pipeline_name(family)

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """The one encoder's words."""
        return {"embeds": torch.cat([reading.hidden for reading in readings if reading is not None], dim=-1)}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """`prompt_embeds` and, with guidance, `negative_prompt_embeds`."""
        arguments = {"prompt_embeds": stack(positive, "embeds")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
        return arguments


class SdScaleInsideAdapter(SdAdapter):
    """For UNets that embed the CFG scale beside the time, which the pipeline tells them: latent consistency models, Luo
    et al. (arXiv:2310.04378), section 4.2."""

    scale_inside: ClassVar[bool] = True
