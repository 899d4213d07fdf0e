"""The contract of a family adapter: argument names and tensor layouts of its diffusers pipeline, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.catalog import Family

Embedding = Mapping[str, torch.Tensor]
"""What the text encoders made of one text: tensors without a batch axis, by argument name."""


class FamilyAdapter(ABC):
    """Knows how a family's pipeline wants to be spoken to. Has no state; one object serves all lanes."""

    word_tokenizers: ClassVar[tuple[str, ...]] = ("tokenizer",)
    """Tokenizers that carry the words of a prompt, best first; the first one present decides what is too long."""
    longest: ClassVar[int | None] = None
    """Tokens that the pipeline hands to that tokenizer's encoder; None is the tokenizer's own limit."""

    def pipeline_name(self, family: Family) -> str:
        """The diffusers class that denoises: the plain one, or for nine-channel models the inpainting one."""
        pipelines = family.pipelines
        return pipelines["inpaint"] if family.masked_channels else pipelines["txt2img"]

    @abstractmethod
    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """Encode each text. `clip_skip` 1 is the layer that the family ordinarily takes."""

    @abstractmethod
    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Arguments of the pipeline's call for a batch; `negative` is None without guidance."""

    def empty(self, embedding: Embedding) -> Embedding:
        """What stands for an empty negative prompt."""
        return embedding

    def guide(self, scale: float) -> dict[str, Any]:
        """Arguments that set the guidance."""
        return {"guidance_scale": scale}

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """Adapt a lane's pipeline to its model where its class does not; gives further arguments of its call."""
        return {}

    def is_guided(self, scale: float) -> bool:
        """Whether negative prompts take part at this scale."""
        return scale > 1

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """From (B, C, H, W) to the layout that the denoiser works on."""
        return latents

    def unpack(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Back to (B, C, `height`, `width`), in latent cells."""
        return latents

    def schedule_arguments(self, config: Mapping[str, Any], cells: int) -> dict[str, Any]:
        """Arguments for the scheduler that depend on the size; `cells` is the number of latent cells."""
        return {}


def stack(embeddings: Sequence[Embedding], name: str) -> torch.Tensor:
    """One tensor of all texts."""
    return torch.stack([embedding[name] for embedding in embeddings])
