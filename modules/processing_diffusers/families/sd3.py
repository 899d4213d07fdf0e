"""Stable Diffusion 3: three text encoders (the third may be missing), flow matching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from modules.processing_diffusers.families.base import Embedding, FamilyAdapter, stack
from modules.processing_diffusers.families.shift import shift_for

PATCH = 2
"""Latent cells along one side of a token."""


class Sd3Adapter(FamilyAdapter):
    """Talks to `StableDiffusion3Pipeline`."""

    word_tokenizers: ClassVar[tuple[str, ...]] = ("tokenizer_3", "tokenizer")
    longest: ClassVar[int | None] = 256

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """All encoders get the same words."""
        embeds, _, pooled, _ = pipeline.encode_prompt(
            prompt=list(texts),
            prompt_2=None,
            prompt_3=None,
            do_classifier_free_guidance=False,
            clip_skip=clip_skip - 1 if clip_skip > 1 else None,
        )
        return [{"embeds": words, "pooled": whole} for words, whole in zip(embeds, pooled, strict=True)]

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and pooled embeddings of both sides."""
        arguments = {"prompt_embeds": stack(positive, "embeds"), "pooled_prompt_embeds": stack(positive, "pooled")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
            arguments["negative_pooled_prompt_embeds"] = stack(negative, "pooled")
        return arguments

    def schedule_arguments(self, config: Mapping[str, Any], cells: int) -> dict[str, Any]:
        """`mu`, where the model's schedule shifts with the size."""
        if not config.get("use_dynamic_shifting"):
            return {}
        return {"mu": shift_for(cells // PATCH**2, config, largest=1.16)}
