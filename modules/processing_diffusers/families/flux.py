"""Flux.1: packed latents, T5 for the words, CLIP for the whole, guidance as an input of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, pooled_of, stack
from modules.processing_diffusers.families.shift import even_levels, shift_for
from modules.prompts.encoding import EncoderSpec, Reading

LONGEST = 512
"""Tokens of a piece that T5 reads."""
PATCH = 2
"""Latent cells along one side of a token."""
PLACES = 3
"""Numbers that say where a token stands."""


class FluxAdapter(FamilyAdapter):
    """Talks to `FluxPipeline`. The CFG scale is the distilled guidance; there is no negative prompt."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", pooled=True),
        EncoderSpec("tokenizer_2", "text_encoder_2", length=LONGEST),
    )

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """T5's words, and CLIP's vector for the whole."""
        clip, t5 = readings
        if clip is None or t5 is None:
            raise UnsupportedFeature("Flux needs both of its text encoders.")
        return {"embeds": t5.hidden, "pooled": pooled_of(clip)}

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings, pooled embeddings, and the words' places, which are all the same."""
        words = super().words(embeddings)
        places = torch.zeros(words["encoder_hidden_states"].shape[1], PLACES)
        return {**words, "pooled_projections": stack(embeddings, "pooled"), "txt_ids": places}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and pooled embeddings."""
        return {"prompt_embeds": stack(positive, "embeds"), "pooled_prompt_embeds": stack(positive, "pooled")}

    def is_guided(self, scale: float) -> bool:
        """Guidance is an input of the model, not a second forward."""
        return False

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, H/2 * W/2, C * 4): each token is a square of 2 x 2 cells."""
        batch, channels, height, width = latents.shape
        squares = latents.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
        return squares.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * PATCH**2)

    def unpack(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The inverse of `pack`."""
        batch, _, features = latents.shape
        channels = features // PATCH**2
        squares = latents.reshape(batch, height // PATCH, width // PATCH, channels, PATCH, PATCH)
        return squares.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, height, width)

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """Even levels, and `mu` for the size, of which a config without dynamic shifting takes no notice."""
        return {"mu": shift_for(cells // PATCH**2, config, largest=1.15), "sigmas": even_levels(steps)}
