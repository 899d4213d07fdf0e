"""Draws orders with the studio's engine, so that its own features are held to the properties of the models.

It knows the engine as a protocol, and asks it as a front does: one request for each picture.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass

import numpy as np
from PIL import Image

from modules.contracts.control import ControlParams, ControlUnit
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    ImageParams,
    InpaintParams,
    ModelParams,
    OutputParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.contracts.run import Engine, RunContext
from modules.pocket.evaluation.colours import Picture
from modules.pocket.evaluation.drawing import Order, Pictures

STEPS = 20
"""Where an order leaves them open; the engine has a default of the model's for everything else."""


@dataclass(frozen=True, slots=True)
class StudioDraw:
    """A `Draw` over an engine. Controls and adapters of an order are names in the studio's own lists; an adapter is a
    LoRA, which stands in the prompt."""

    engine: Engine
    checkpoint: str | None = None
    """Name of the model in the catalogue; None for the one that the settings name."""

    def __call__(self, order: Order) -> Pictures:
        """One picture for each prompt. Raises what the engine raises."""
        return np.stack([self._draw(order, number) for number in range(len(order.prompts))])

    def _draw(self, order: Order, number: int) -> Picture:
        context = RunContext(uuid.uuid4().hex, previews=False)
        result = self.engine.generate(self._request(order, number), context)
        return np.asarray(result.pictures[0].image.convert("RGB"), np.uint8)

    def _request(self, order: Order, number: int) -> GenerationRequest:
        image, words, control = None, order.prompts[number], ControlParams()
        if order.adapter:
            words = f"{words} <lora:{order.adapter}:{order.weight:g}>"
        if order.control and order.images is not None:
            unit = ControlUnit(True, model=order.control, weight=order.weight, image=_encode(order.images[number]))
            control = ControlParams((unit,))
        elif order.images is not None:
            image = ImageParams((_encode(order.images[number]),), denoising_strength=order.strength)
        inpaint = None
        if order.masks is not None:
            inpaint = InpaintParams(_encode(order.masks[number]), blur=0, only_masked=False)
        return GenerationRequest(
            PromptParams(words, order.negative),
            CanvasParams(order.size, order.size),
            SeedParams(order.seeds[number]),
            SamplingParams(order.steps or STEPS, cfg_scale=order.guidance),
            image=image,
            inpaint=inpaint,
            model=ModelParams(self.checkpoint),
            output=OutputParams(save=False),
            control=control,
        )


def _encode(picture: Picture) -> bytes:
    """As PNG."""
    kept = io.BytesIO()
    Image.fromarray(picture).save(kept, "PNG")
    return kept.getvalue()
