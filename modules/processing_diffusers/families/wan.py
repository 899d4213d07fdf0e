"""Wan: UMT5 reads the prompt, and latents have an axis for time.

Wan Team, Wan: Open and Advanced Large-Scale Video Generative Models (arXiv:2503.20314), sections 4.1 and 4.2. The
denoiser sees 512 tokens whatever the prompt's length; those behind its end are zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.catalog import Family
from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, stack
from modules.processing_diffusers.families.shift import even_levels
from modules.prompts.encoding import EncoderSpec, Reading

LONGEST = 512
"""Tokens of a piece that UMT5 reads."""
PATCH = 2
"""Cells of one token along each side."""


class WanAdapter(FamilyAdapter):
    """Talks to `WanPipeline`, left unguided, as it guides by two calls."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", length=LONGEST, masked=True),
    )
    paired: ClassVar[bool] = True

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """The words, and zeros in place of what fills them up."""
        (read,) = readings
        if read is None or read.mask is None:
            raise UnsupportedFeature("Wan needs its text encoder.")
        return {"embeds": read.hidden * read.mask[:, None].to(read.hidden)}

    def show(self, arguments: dict[str, Any], seen: torch.Tensor) -> dict[str, Any]:
        """The first frame without noise, and the time at which there is none for its tokens alone."""
        hidden, first = arguments["hidden_states"], seen.shape[2]
        frames, height, width = hidden.shape[2:]
        tokens = (height // PATCH) * (width // PATCH)
        times = arguments["timestep"].reshape(-1, 1).expand(-1, frames * tokens).clone()
        times[:, : first * tokens] = 0
        return {
            **arguments,
            "hidden_states": torch.cat([seen.to(hidden), hidden[:, :, first:]], dim=2),
            "timestep": times,
        }

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings of what is wanted; what is not goes by `words`."""
        return {"prompt_embeds": stack(positive, "embeds")}

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """Even levels, whatever the size."""
        return {"sigmas": even_levels(steps)}


class WanShownAdapter(WanAdapter):
    """Talks to `WanPipeline` and shows its denoiser the picture that the film begins with: mask and latents of a film
    that is grey after it as further channels, and what CLIP sees in it as further words."""

    def pipeline_name(self, family: Family) -> str:
        """The plain one, as the picture is shown here."""
        return "WanPipeline"

    def show(self, arguments: dict[str, Any], seen: torch.Tensor) -> dict[str, Any]:
        """The channels behind those drawn."""
        hidden = arguments["hidden_states"]
        return {**arguments, "hidden_states": torch.cat([hidden, seen.to(hidden)], dim=1)}

    def glance(self, eyes: Any, **arguments: Any) -> Any:
        """What the last layer of CLIP's vision but one says of the picture's parts."""
        return (eyes(pixel_values=arguments["pixels"], output_hidden_states=True).hidden_states[-2],)
