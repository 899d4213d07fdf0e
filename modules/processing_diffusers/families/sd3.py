"""Stable Diffusion 3: three text encoders (the third may be missing), flow matching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, pooled_of, stack
from modules.processing_diffusers.families.shift import shift_for
from modules.prompts.encoding import EncoderSpec, Reading, even_out

LONGEST = 256
"""Tokens of a piece that T5 reads."""
PATCH = 2
"""Latent cells along one side of a token."""


class Sd3Adapter(FamilyAdapter):
    """Talks to `StableDiffusion3Pipeline`."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", depth=-2, skips=True, pooled=True),
        EncoderSpec("tokenizer_2", "text_encoder_2", depth=-2, skips=True, pooled=True),
        EncoderSpec("tokenizer_3", "text_encoder_3", length=LONGEST),
    )

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """CLIP's words side by side, filled up with zeros to the width of T5's, which follow; zeros without T5."""
        clips = [reading for reading in readings[:2] if reading is not None]
        width = int(pipeline.transformer.config.joint_attention_dim)
        words = torch.cat(even_out(clips, blank), dim=-1)
        words = torch.nn.functional.pad(words, (0, width - words.shape[-1]))
        t5 = readings[2]
        tail = words.new_zeros(LONGEST, width) if t5 is None else t5.hidden.to(words)
        pooled = torch.cat([pooled_of(reading) for reading in clips], dim=-1)
        return {"embeds": torch.cat([words, tail]), "pooled": pooled}

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings and pooled embeddings."""
        return {**super().words(embeddings), "pooled_projections": stack(embeddings, "pooled")}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and pooled embeddings of both sides."""
        arguments = {"prompt_embeds": stack(positive, "embeds"), "pooled_prompt_embeds": stack(positive, "pooled")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
            arguments["negative_pooled_prompt_embeds"] = stack(negative, "pooled")
        return arguments

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """`mu`, where the model's schedule shifts with the size."""
        if not config.get("use_dynamic_shifting"):
            return {}
        return {"mu": shift_for(cells // PATCH**2, config, largest=1.16)}
