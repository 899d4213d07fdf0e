"""Chroma: Flux without CLIP and without distilled guidance; T5 alone, with a mask, and a true negative prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, stack
from modules.processing_diffusers.families.flux import LONGEST, PLACES, FluxAdapter
from modules.prompts.encoding import EncoderSpec, Reading


class ChromaAdapter(FluxAdapter):
    """Talks to `ChromaPipeline`; latents and schedule are Flux's."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", length=LONGEST, masked=True),
    )
    masked: ClassVar[bool] = True
    paired: ClassVar[bool] = True

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """T5's words and their mask, in which the first token that fills a piece up counts, too, as in training."""
        (t5,) = readings
        if t5 is None or t5.mask is None:
            raise UnsupportedFeature("Chroma needs its text encoder.")
        mask = t5.mask.clone()
        mask[1:] = torch.maximum(mask[1:], t5.mask[:-1])
        return {"embeds": t5.hidden, "mask": mask}

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings, their mask, and the words' places, which are all the same."""
        hidden = stack(embeddings, "embeds")
        return {
            "encoder_hidden_states": hidden,
            "attention_mask": stack(embeddings, "mask"),
            "txt_ids": torch.zeros(hidden.shape[1], PLACES),
        }

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and mask of what is wanted; what is not goes by `words`."""
        return {"prompt_embeds": stack(positive, "embeds"), "prompt_attention_mask": stack(positive, "mask")}

    def is_guided(self, scale: float) -> bool:
        """Unlike Flux it was trained without a distilled guidance."""
        return scale > 1

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward with a mask of truth values over words and picture.

        Its authors mask in this way; numbers, as the pipeline has them, would be added to the attention's scores and
        hide nothing.
        """
        mask, picture = arguments["attention_mask"], arguments["hidden_states"].shape[1]
        missing = arguments["encoder_hidden_states"].shape[1] + picture - mask.shape[1]
        arguments["attention_mask"] = torch.nn.functional.pad(mask, (0, missing), value=1.0) > 0
        return denoiser(**arguments)
