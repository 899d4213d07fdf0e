"""Draws with an exported pocket model through the ordinary diffusers pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL = Path(__file__).resolve().parents[2] / "models" / "pocket"
STEPS = 20
GUIDANCE = 1.5
"""The model sees few scenes, so guidance soon exaggerates them: from about 3 on the sides of squares bend inwards."""


def open_model(folder: Path = MODEL) -> Any:
    """The pipeline in `folder`, float32 on the CPU, from disk only. Raises FileNotFoundError where nothing is there."""
    if not (folder / "model_index.json").exists():
        raise FileNotFoundError(folder / "model_index.json")
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(
    pipeline: Any, prompts: Sequence[str], seed: int, steps: int = STEPS, guidance: float = GUIDANCE, batch: int = 20
) -> NDArray[np.uint8]:
    """One picture of the model's native size for each prompt, uint8 of shape (prompts, side, side, 3).

    Picture number i starts from seed + i whatever the batch, so single pictures can be drawn again.
    """
    import torch

    pictures = []
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])
        lots = [torch.Generator("cpu").manual_seed(seed + start + place) for place in range(len(part))]
        made = pipeline(part, num_inference_steps=steps, guidance_scale=guidance, generator=lots).images
        pictures += [np.asarray(image.convert("RGB")) for image in made]
    return np.stack(pictures)
