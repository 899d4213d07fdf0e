"""PixArt Σ: T5 with a mask, and a denoiser that also says how unsure it is, which nobody here asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, stack
from modules.prompts.encoding import EncoderSpec, Reading

LONGEST = 300
"""Tokens of a piece that T5 reads."""


class PixArtAdapter(FamilyAdapter):
    """Talks to `PixArtSigmaPipeline`."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", length=LONGEST, masked=True),
    )
    masked: ClassVar[bool] = True
    paired: ClassVar[bool] = True

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """T5's words and their mask."""
        (t5,) = readings
        if t5 is None or t5.mask is None:
            raise UnsupportedFeature("PixArt needs its text encoder.")
        return {"embeds": t5.hidden, "mask": t5.mask}

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings and their mask."""
        return {**super().words(embeddings), "encoder_attention_mask": stack(embeddings, "mask")}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and mask of what is wanted; what is not goes by `words`."""
        return {"prompt_embeds": stack(positive, "embeds"), "prompt_attention_mask": stack(positive, "mask")}

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """The pipeline is told that there are no more channels than it is given, and draws the size asked for."""
        config = pipeline.transformer.config
        pipeline.transformer.config = type(config)({**config, "out_channels": config["in_channels"]})
        return {"use_resolution_binning": False, "clean_caption": False}

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward without the second half of its channels, a learned variance that no sampler here uses."""
        answer = denoiser(**arguments)[0]
        return (answer[:, : arguments["hidden_states"].shape[1]],)
