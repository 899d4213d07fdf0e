"""Lumina Image 2: Gemma reads the prompt behind a sentence that tells it what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.processing_diffusers.families.base import Embedding, stack
from modules.processing_diffusers.families.zimage import ZImageAdapter

INSTRUCTION = (
    "You are an assistant designed to generate superior images with the superior degree of image-text alignment based "
    "on textual prompts or user prompts. <Prompt Start> "
)
"""What its authors put before every prompt in training."""


class LuminaAdapter(ZImageAdapter):
    """Talks to `Lumina2Pipeline`, which turns the sign of its denoiser's answers, as Z-Image's does."""

    longest: ClassVar[int] = 256
    even: ClassVar[int] = 256

    def question(self, text: str) -> str:
        """The text behind the instruction; an empty negative prompt stands alone."""
        return INSTRUCTION + text if text else text

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings and their mask."""
        return {
            "encoder_hidden_states": stack(embeddings, "embeds"),
            "encoder_attention_mask": stack(embeddings, "mask"),
        }

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and mask of what is wanted; the words go by `words`."""
        return {"prompt_embeds": stack(positive, "embeds"), "prompt_attention_mask": stack(positive, "mask")}

    def guide(self, scale: float) -> dict[str, Any]:
        """The pipeline is left unguided."""
        return {"guidance_scale": 1.0}

    def mix(self, free: torch.Tensor, bound: torch.Tensor, scale: float) -> torch.Tensor:
        """Guided as ever, and then every row of cells brought to the length that it had in the answer to the prompt."""
        guided = super().mix(free, bound, scale)
        lengths = torch.linalg.vector_norm(torch.stack([bound, guided]), dim=-1, keepdim=True)
        return guided * (lengths[0] / lengths[1])

    def take(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """They are tensors already."""
        return arguments

    def give(self, answer: torch.Tensor) -> torch.Tensor:
        """The answer as the pipeline wants it, which turns its sign."""
        return -answer

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward, its answers towards noise; it counts the words by the mask."""
        arguments["encoder_attention_mask"] = arguments["encoder_attention_mask"].long()
        return (-denoiser(**arguments)[0],)
