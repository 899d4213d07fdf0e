"""Stable Diffusion 1 and 2: one text encoder, one sequence of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modules.processing_diffusers.families.base import Embedding, FamilyAdapter, stack


class SdAdapter(FamilyAdapter):
    """Talks to `StableDiffusionPipeline` and `StableDiffusionInpaintPipeline`."""

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """Positive and negative texts alike, so that clip skip holds for both, as in A1111."""
        embeds, _ = pipeline.encode_prompt(
            list(texts), pipeline._execution_device, 1, False, clip_skip=clip_skip - 1 if clip_skip > 1 else None
        )
        return [{"embeds": row} for row in embeds]

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """`prompt_embeds` and, with guidance, `negative_prompt_embeds`."""
        arguments = {"prompt_embeds": stack(positive, "embeds")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
        return arguments
