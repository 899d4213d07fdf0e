"""Stable Diffusion XL: two text encoders side by side, a pooled embedding, sizes as conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from modules.processing_diffusers.families.base import Embedding, FamilyAdapter, stack

DEFAULT_LAYER = 2
"""SDXL was trained on the layer before the last; A1111's clip skip 1 and 2 both mean that one."""


class SdxlAdapter(FamilyAdapter):
    """Talks to `StableDiffusionXLPipeline` and `StableDiffusionXLInpaintPipeline`."""

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """Both encoders get the same words."""
        skip = clip_skip - DEFAULT_LAYER if clip_skip > DEFAULT_LAYER else None
        embeds, _, pooled, _ = pipeline.encode_prompt(
            prompt=list(texts), do_classifier_free_guidance=False, clip_skip=skip
        )
        return [{"embeds": words, "pooled": whole} for words, whole in zip(embeds, pooled, strict=True)]

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and pooled embeddings of both sides."""
        arguments = {"prompt_embeds": stack(positive, "embeds"), "pooled_prompt_embeds": stack(positive, "pooled")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
            arguments["negative_pooled_prompt_embeds"] = stack(negative, "pooled")
        return arguments

    def empty(self, embedding: Embedding) -> Embedding:
        """Zeros, as SDXL was trained for `force_zeros_for_empty_prompt`."""
        return {name: torch.zeros_like(value) for name, value in embedding.items()}
