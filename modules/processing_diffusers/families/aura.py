"""AuraFlow: a UMT5 reads the prompt, and what fills it up is nothing to the denoiser, which sees it all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, stack
from modules.prompts.encoding import EncoderSpec, Reading

LONGEST = 256
"""Tokens of a piece that the encoder reads, and that the denoiser was trained to see."""


class AuraFlowAdapter(FamilyAdapter):
    """Talks to `AuraFlowPipeline`. Texts of several pieces go in calls of their own."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", length=LONGEST, masked=True),
    )

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """The words, and zeros where a piece is filled up."""
        (reading,) = readings
        if reading is None or reading.mask is None:
            raise UnsupportedFeature("AuraFlow needs its text encoder.")
        return {"embeds": reading.hidden * reading.mask[:, None], "mask": reading.mask}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings of both sides; the masks are asked for and not looked at."""
        arguments = {"prompt_embeds": stack(positive, "embeds"), "prompt_attention_mask": stack(positive, "mask")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
            arguments["negative_prompt_attention_mask"] = stack(negative, "mask")
        return arguments
