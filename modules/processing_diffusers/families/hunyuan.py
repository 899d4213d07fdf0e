"""HunyuanDiT: a bilingual CLIP and mT5 read the prompt; the denoiser has places for one piece of each, and no more.

Li et al., Hunyuan-DiT (arXiv:2405.08748), section 2.1. What fills a piece up is replaced by what was learnt for its
place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from diffusers.models.embeddings import get_2d_rotary_pos_embed

from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, stack
from modules.prompts.encoding import EncoderSpec, Reading

CLIP_LENGTH, T5_LENGTH = 77, 256
"""Tokens of the one piece of each reader."""
PIXELS = 8
"""Along the side of a latent cell."""
BASE = 512
"""Pixels along the side of the picture on whose places all others' are laid."""


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

    def narrow(self, arguments: dict[str, Any], canvas: tuple[int, int], part: tuple[int, int]) -> dict[str, Any]:
        """Places as in a picture of the part's own size, which is what the model was trained to draw, and uncut."""
        turns = arguments["image_rotary_emb"]
        patch = math.isqrt(canvas[0] * canvas[1] // len(turns[0]))
        found = {**arguments, "image_rotary_emb": places_of(part, patch, turns[0])}
        sizes = arguments.get("image_meta_size")
        if sizes is not None:
            height, width = (side * PIXELS for side in part)
            found["image_meta_size"] = torch.tensor([height, width, height, width, 0, 0]).to(sizes).expand_as(sizes)
        return found

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


def places_of(size: tuple[int, int], patch: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines that tell where each token of a picture stands, (tokens, width) each as those of `like`;
    `size` is (height, width) in cells, `patch` the cells along a token's side.

    The longer side lies on that of the square the model knows, the shorter one in its middle.
    """
    tokens, base = [side // patch for side in size], BASE // PIXELS // patch
    laid = [round(base * side / max(tokens)) for side in tokens]
    begin = [round((base - side) / 2) for side in laid]
    corners = (tuple(begin), tuple(map(sum, zip(begin, laid, strict=True))))
    turns = get_2d_rotary_pos_embed(like.shape[-1], corners, tuple(tokens), device=like.device, output_type="pt")
    cosines, sines = (part.to(like) for part in turns)
    return cosines, sines
