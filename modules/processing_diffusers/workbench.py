"""Sets up a lane's pipeline: stand-ins before the heavy modules, tokenizers that take turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from modules.contracts.plan import GenerationPlan
from modules.processing_diffusers.guidance import make_rescale
from modules.processing_diffusers.lane_pipeline import LockedTokenizer, build_pipeline, lane_class, rescales_itself
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.multiplexer.stand_in import Port, StandIn
from modules.processing_diffusers.multiplexer.text import TextStandIn


def set_up_pipeline(model: DrawingModel, port: Port, plan: GenerationPlan) -> Any:
    """A pipeline of the model's class for one job. Cheap: nothing is loaded or copied."""
    components = model.loaded.components
    name = model.adapter.pipeline_name(model.family)
    device, dtype = model.place("denoiser")
    parts: dict[str, Any] = {"vae": components["vae"]}
    denoiser = StandIn(model.denoiser, port, device=device, dtype=dtype, guide=_guide(plan, model, lane_class(name)))
    adapter = model.adapter
    denoiser.take, denoiser.give, denoiser.mix = adapter.take, adapter.give, adapter.mix
    parts[model.family.denoiser] = denoiser
    text_device, text_dtype = model.place("text_encoder")
    words = replace(port, patches=())
    for key, target in model.text_encoders.items():
        parts[key] = TextStandIn(target, words, device=text_device, dtype=text_dtype)
    for key, part in components.items():
        if key.startswith("tokenizer") and part is not None:
            parts[key] = LockedTokenizer(part, model.words, model.spellings.get(key))
    return build_pipeline(name, parts, device)


def _guide(plan: GenerationPlan, model: DrawingModel, kind: type[Any]) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """CFG rescale for pipelines that have none of their own."""
    amount, family = plan.request.sampling.cfg_rescale, model.family
    if amount <= 0 or "cfg_rescale" not in family.capabilities or rescales_itself(kind):
        return None
    return make_rescale(plan.first.cfg_scale, amount)
