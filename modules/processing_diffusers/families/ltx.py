"""LTX-Video: T5 reads the prompt, and every latent cell of a film is a token.

HaCohen et al., LTX-Video: Realtime Video Latent Diffusion (arXiv:2501.00103).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.film import FilmPlan
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, stack
from modules.processing_diffusers.families.shift import even_levels, shift_for
from modules.prompts.encoding import EncoderSpec, Reading

LONGEST = 128
"""Tokens of a piece that T5 reads."""


class LtxAdapter(FamilyAdapter):
    """Talks to `LTXPipeline`."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", length=LONGEST, masked=True, heedful=False),
    )
    masked: ClassVar[bool] = True

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """T5's words and their mask."""
        (t5,) = readings
        if t5 is None or t5.mask is None:
            raise UnsupportedFeature("LTX-Video needs its text encoder.")
        return {"embeds": t5.hidden, "mask": t5.mask}

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings and their mask."""
        return {**super().words(embeddings), "encoder_attention_mask": stack(embeddings, "mask")}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and masks of both sides."""
        arguments = {"prompt_embeds": stack(positive, "embeds"), "prompt_attention_mask": stack(positive, "mask")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
            arguments["negative_prompt_attention_mask"] = stack(negative, "mask")
        return arguments

    def time(self, film: FilmPlan) -> dict[str, Any]:
        """How many frames there are and how fast they follow, which the places of tokens are told in seconds by."""
        return {"num_frames": film.frames, "frame_rate": film.fps}

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to (B, T * H * W, C)."""
        return latents.flatten(2).transpose(1, 2)

    def unpack(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The inverse of `pack`."""
        return latents.transpose(1, 2).unflatten(2, (-1, height, width))

    def show(self, arguments: dict[str, Any], seen: torch.Tensor) -> dict[str, Any]:
        """The first frame's tokens without noise, and the time at which there is none for them alone."""
        hidden, first = arguments["hidden_states"], self.pack(seen)
        count = first.shape[1]
        times = arguments["timestep"].reshape(-1, 1).expand(hidden.shape[:2]).clone()
        times[:, :count] = 0
        return {
            **arguments,
            "hidden_states": torch.cat([first.to(hidden), hidden[:, count:]], dim=1),
            "timestep": times,
        }

    def narrow(self, arguments: dict[str, Any], canvas: tuple[int, int], part: tuple[int, int]) -> dict[str, Any]:
        """The part's height and width, from which places are counted."""
        return {**arguments, "height": part[0], "width": part[1]}

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """Even levels down to that of the last step, and `mu` for the size and the length, of which the scheduler takes
        no notice where its config has no dynamic shifting."""
        return {"mu": shift_for(cells, config, largest=1.15), "sigmas": even_levels(steps)}
