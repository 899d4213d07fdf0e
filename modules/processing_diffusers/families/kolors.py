"""Kolors: SDXL's denoiser, to which ChatGLM3 reads the prompt, in Chinese as well as in English.

Kwai Kolors Team, Kolors: Effective Training of Diffusion Model for Photorealistic Text-to-Image Synthesis (2024),
section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modules.contracts.catalog import Family
from modules.processing_diffusers.families.base import Embedding, FamilyAdapter
from modules.processing_diffusers.families.sdxl import SdxlAdapter

LONGEST = 256
"""Tokens of a prompt with what fills it up, which stands before it and which the denoiser sees, too."""


class KolorsAdapter(SdxlAdapter):
    """Talks to `KolorsPipeline`. Of longer prompts the beginning is drawn."""

    encoders = ()
    repeats: ClassVar[bool] = False

    def pipeline_name(self, family: Family) -> str:
        """The plain one."""
        return family.pipeline

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """The layer before the last for the words, and what the last one says at the end for the whole."""
        return [self._read(pipeline, text) for text in texts]

    def _read(self, pipeline: Any, text: str) -> Embedding:
        encoder = pipeline.text_encoder
        read = pipeline.tokenizer(text, padding="max_length", truncation=True, max_length=LONGEST, return_tensors="pt")
        names = ("input_ids", "attention_mask", "position_ids")
        words, whole = encoder(**{name: read[name].to(encoder.device) for name in names})
        return {"embeds": words[0], "pooled": whole[0]}

    def hear(self, encoder: Any, **arguments: Any) -> Any:
        """Words (B, tokens, width) and the whole (B, width); the model itself has the tokens first."""
        said = encoder(**arguments, output_hidden_states=True, use_cache=False, return_dict=True).hidden_states
        return said[-2].transpose(0, 1).contiguous(), said[-1][-1]

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """Nothing: there is no refiner."""
        return {}

    def empty(self, embedding: Embedding) -> Embedding:
        """What an empty text says."""
        return FamilyAdapter.empty(self, embedding)
