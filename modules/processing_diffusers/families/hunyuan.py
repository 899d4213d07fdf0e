"""HunyuanDiT: a bilingual CLIP and mT5 read the prompt; the denoiser has places for one piece of each, and no more.

Li et al., Hunyuan-DiT (arXiv:2405.08748), section 2.1. What fills a piece up is replaced by what was learnt for its
place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, stack
from modules.prompts.encoding import EncoderSpec, Reading

CLIP_LENGTH, T5_LENGTH = 77, 256
"""Tokens of the one piece of each reader."""


class HunyuanDiTAdapter(FamilyAdapter):
    """Talks to `HunyuanDiTPipeline`, left unguided. Of longer prompts the first piece is drawn."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", length=CLIP_LENGTH, masked=True),
        EncoderSpec("tokenizer_2", "text_encoder_2", length=T5_LENGTH, masked=True),
    )
    paired: ClassVar[bool] = True

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """What both say of the first piece, and their masks."""
        found: dict[str, torch.Tensor] = {}
        for reading, length, name in zip(readings, (CLIP_LENGTH, T5_LENGTH), ("", "_t5"), strict=True):
            if reading is None or reading.mask is None:
                raise UnsupportedFeature("HunyuanDiT needs both of its text encoders.")
            found |= {f"embeds{name}": reading.hidden[:length], f"mask{name}": reading.mask[:length]}
        return found

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings and masks of both readers."""
        return {
            "encoder_hidden_states": stack(embeddings, "embeds"),
            "text_embedding_mask": stack(embeddings, "mask"),
            "encoder_hidden_states_t5": stack(embeddings, "embeds_t5"),
            "text_embedding_mask_t5": stack(embeddings, "mask_t5"),
        }

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and masks of what is wanted; what is not goes by `words`."""
        return {
            "prompt_embeds": stack(positive, "embeds"),
            "prompt_attention_mask": stack(positive, "mask"),
            "prompt_embeds_2": stack(positive, "embeds_t5"),
            "prompt_attention_mask_2": stack(positive, "mask_t5"),
        }

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """The pipeline draws the size asked for."""
        return {"use_resolution_binning": False}

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward without the second half of its channels, a learned variance that no sampler here uses.

        The model takes its precision from the time step, which comes here in a wider one.
        """
        latents = arguments["hidden_states"]
        arguments["timestep"] = arguments["timestep"].to(latents.dtype)
        return (denoiser(**arguments)[0][:, : latents.shape[1]],)

    def give(self, answer: torch.Tensor) -> torch.Tensor:
        """The answer with another half for the pipeline to leave out."""
        return torch.cat([answer, answer], dim=1)
