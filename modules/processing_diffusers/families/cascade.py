"""Stable Cascade: a first stage draws a small picture of meaning from words, a second one the latents from that.

Pernias et al., Würstchen (arXiv:2306.00637), of whose architecture it is. CLIP-G reads the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.catalog import Family
from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, pooled_of, stack
from modules.prompts.encoding import EncoderSpec, Reading
from modules.sd_samplers.build import COSINE_STEPS


class CascadeAdapter(FamilyAdapter):
    """Talks to `FirstStage`, left unguided, and to the second stage, which sees the whole text's one vector only."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", depth=-1, pooled=True, masked=True),
    )
    paired: ClassVar[bool] = True

    def pipeline_name(self, family: Family) -> str:
        """Our own loop: the library's works with a scheduler of its own only."""
        return "FirstStage"

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """The words of the last layer before its norm, and the one vector."""
        (reading,) = readings
        if reading is None:
            raise UnsupportedFeature("Stable Cascade needs its text encoder.")
        return {"embeds": reading.hidden, "pooled": pooled_of(reading)}

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Words, and the vector as a text of one word."""
        return {"clip_text": stack(embeddings, "embeds"), "clip_text_pooled": stack(embeddings, "pooled")[:, None]}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """The words of what is wanted; what is not goes by `words`."""
        return {"words": self.words(positive)}

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The first stage's forward, shown no picture."""
        sample = arguments["sample"]
        unseen = sample.new_zeros(len(sample), 1, denoiser.config.clip_image_in_channels)
        return denoiser(
            sample=sample,
            timestep_ratio=share_of(arguments["timestep"], sample),
            clip_text=arguments["clip_text"],
            clip_text_pooled=arguments["clip_text_pooled"],
            clip_img=unseen,
            return_dict=False,
        )

    def unfold(self, decoder: Any, **arguments: Any) -> Any:
        """The second stage's forward; `effnet` is what the first one drew."""
        sample = arguments["sample"]
        return decoder(
            sample=sample,
            timestep_ratio=share_of(arguments["timestep"], sample),
            clip_text_pooled=arguments["clip_text_pooled"],
            effnet=arguments["effnet"],
            return_dict=False,
        )


def share_of(timestep: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A training step as the share of the way to noise that the model knows it by."""
    return ((timestep.double() + 1) / COSINE_STEPS).to(like.dtype)
