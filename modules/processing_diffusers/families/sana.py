"""Sana: Gemma reads the prompt behind an instruction to enhance it, and a deep autoencoder makes one cell of 32 pixels.

Xie et al., SANA (arXiv:2410.10629), sections 2.1 and 2.3. A negative prompt is read behind the instruction, too; only
an empty one stands alone, as in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from modules.processing_diffusers.families.base import Embedding, FamilyAdapter
from modules.processing_diffusers.families.lumina import LuminaAdapter
from modules.processing_diffusers.families.shift import even_levels

INSTRUCTION = "\n".join(
    (
        "Given a user prompt, generate an 'Enhanced prompt' that provides detailed visual descriptions suitable for "
        "image generation. Evaluate the level of detail in the user prompt:",
        "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial "
        "relationships to create vivid and concrete scenes.",
        "- If the prompt is already detailed, refine and enhance the existing details slightly without "
        "overcomplicating.",
        "Here are examples of how to transform or refine prompts:",
        "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping "
        "peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.",
        "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing street "
        "lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering glass "
        "skyscrapers.",
        "Please generate only the enhanced description for the prompt below and avoid including any additional "
        "commentary or evaluations:",
        "User Prompt: ",
    )
)
"""What its authors put before every prompt in training. The denoiser sees its first token and its last one."""


class SanaAdapter(LuminaAdapter):
    """Talks to `SanaPipeline`, left unguided."""

    longest: ClassVar[int] = 300
    even: ClassVar[int] = 300

    def _read(self, pipeline: Any, text: str) -> Embedding:
        tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
        told = len(tokenizer(INSTRUCTION).input_ids) if text else 2
        question = INSTRUCTION + text if text else text
        longest = told + self.longest - 2
        ids = tokenizer(question, truncation=True, max_length=longest, return_tensors="pt").input_ids
        hidden = encoder(input_ids=ids.to(encoder.device), use_cache=False).last_hidden_state[0]
        hidden = torch.cat([hidden[:1], hidden[max(told - 1, 1) :]])
        short = {"embeds": hidden, "mask": torch.ones(len(hidden), device=hidden.device)}
        return self.lengthen(short, self.even) or short

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """The pipeline draws the size asked for."""
        return {"use_resolution_binning": False, "clean_caption": False}

    def mix(self, free: torch.Tensor, bound: torch.Tensor, scale: float) -> torch.Tensor:
        """Guided as ever."""
        return FamilyAdapter.mix(self, free, bound, scale)

    def give(self, answer: torch.Tensor) -> torch.Tensor:
        """The answer as it is."""
        return answer

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward, which masks words by numbers."""
        return denoiser(**arguments)

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """Even levels, whatever the size."""
        return {"sigmas": even_levels(steps)}
