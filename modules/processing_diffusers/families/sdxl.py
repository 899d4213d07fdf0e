"""Stable Diffusion XL: two text encoders side by side, a pooled embedding, sizes as conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.catalog import Family
from modules.processing_diffusers.families.base import Blank, Embedding, FamilyAdapter, pooled_of, stack
from modules.prompts.encoding import EncoderSpec, Reading, even_out

LAYER: dict[str, Any] = {"depth": -2, "skips": True, "free_skips": 1}
"""SDXL was trained on the layer before the last; A1111's clip skip 1 and 2 both mean that one."""
PLAIN = "StableDiffusionXLPipeline"
POOLED = 1280
"""Width of the pooled embedding."""
REFINER_NUMBERS = 5
"""Numbers of the refiner's size conditioning; the base model has six."""
SCORES = (6.0, 2.5)
"""Aesthetic score of what is wanted and of what is not, as the refiner's authors set them."""


class RefinerIds:
    """A refiner's `_get_add_time_ids`: size, corner of the cut, score; asked first for what is wanted.

    The other side has the same size, as in A1111: it is asked for with another one only so that it is asked for.
    """

    def __init__(self) -> None:
        self._asked = 0
        self._size: Any = ()

    def __call__(self, original_size: Any, corner: Any, target_size: Any, dtype: torch.dtype, **named: Any) -> Any:
        side = self._asked % 2
        self._asked += 1
        if side == 0:
            self._size = original_size
        return torch.tensor([[*self._size, *corner, SCORES[side]]], dtype=dtype)


class SdxlAdapter(FamilyAdapter):
    """Talks to `StableDiffusionXLPipeline` and `StableDiffusionXLInpaintPipeline`."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = (
        EncoderSpec("tokenizer", "text_encoder", **LAYER),
        EncoderSpec("tokenizer_2", "text_encoder_2", pooled=True, **LAYER),
    )
    repeats: ClassVar[bool] = True

    def pipeline_name(self, family: Family) -> str:
        """The refiner has no pipeline for words alone; it is given its beginning, so the plain one serves."""
        return super().pipeline_name(family) if "txt2img" in family.pipelines or family.masked_channels else PLAIN

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """A refiner is told how beautiful the picture is meant to be where the base model is told its size again."""
        config = pipeline.unet.config
        numbers = (config.projection_class_embeddings_input_dim - POOLED) // config.addition_time_embed_dim
        if numbers != REFINER_NUMBERS:
            return {}
        pipeline._get_add_time_ids = RefinerIds()
        # Both have to be given for the pipeline to ask a second time, for the negative side.
        return {"negative_original_size": (1024, 1024), "negative_target_size": (1024, 1024)}

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """The words of both encoders side by side, or of the second alone for a refiner."""
        there = [place for place, reading in enumerate(readings) if reading is not None]
        found = [reading for reading in readings if reading is not None]
        words = even_out(found, lambda place: blank(there[place]))
        return {"embeds": torch.cat(words, dim=-1), "pooled": pooled_of(found[-1])}

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings, and the pooled ones beside the sizes."""
        return {**super().words(embeddings), "added_cond_kwargs": {"text_embeds": stack(embeddings, "pooled")}}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and pooled embeddings of both sides."""
        arguments = {"prompt_embeds": stack(positive, "embeds"), "pooled_prompt_embeds": stack(positive, "pooled")}
        if negative is not None:
            arguments["negative_prompt_embeds"] = stack(negative, "embeds")
            arguments["negative_pooled_prompt_embeds"] = stack(negative, "pooled")
        return arguments

    def empty(self, embedding: Embedding) -> Embedding:
        """Zeros, as SDXL was trained for `force_zeros_for_empty_prompt`."""
        return {name: torch.zeros_like(value) for name, value in embedding.items()}


class SdxlScaleInsideAdapter(SdxlAdapter):
    """For UNets that embed the CFG scale; see `SdScaleInsideAdapter`."""

    scale_inside: ClassVar[bool] = True
