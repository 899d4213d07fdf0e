"""The resolved values that all pictures of a job share."""

from __future__ import annotations

from typing import Any

from modules.contracts.plan import GenerationPlan
from modules.contracts.request import parameters


def summarise(plan: GenerationPlan) -> dict[str, Any]:
    """By declared name, plus `model`, `model_hash` and `vae`. Seeds are those of the first picture."""
    values: dict[str, Any] = {}
    for item in parameters():
        group = getattr(plan.request, item.path[0])
        if group is not None:
            values[item.name] = getattr(group, item.path[1])
    first, picture = plan.first, plan.pictures[0]
    values.update(
        {
            "canvas.width": first.width,
            "canvas.height": first.height,
            "sampling.sampler": first.sampler.sampler,
            "sampling.scheduler": first.sampler.scheduler,
            "sampling.cfg_scale": first.cfg_scale,
            "seeds.seed": picture.seed,
            "seeds.subseed": picture.subseed,
            "model": plan.model.name,
            "model_hash": plan.model.short_hash,
            "vae": None if plan.vae is None else plan.vae.name,
            "model.text_encoder": None if plan.text_encoder is None else plan.text_encoder.name,
            "faces.restorer": None if plan.faces is None else plan.faces.restorer.name,
        }
    )
    if plan.hires is not None:
        values.update(
            {
                "hires.width": plan.hires.width,
                "hires.height": plan.hires.height,
                "hires.sampler": plan.hires.sampler.sampler,
                "hires.scheduler": plan.hires.sampler.scheduler,
                "hires.steps": plan.hires.steps,
            }
        )
    return values
