"""ControlNet-XS units on their way to a pass: maps of their pictures, as the branches' first layers see them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from modules.contracts.plan import ControlUse, PassPlan, PicturePlan
from modules.processing_diffusers.control_part import ControlPart
from modules.processing_diffusers.cross_units import CrossUnit
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.stages.maps import draw_maps


def prepare_crossings(
    job: Job, pictures: Sequence[PicturePlan], material: Material | None, pass_plan: PassPlan
) -> tuple[CrossUnit, ...]:
    """The units of that pass, for these pictures in this order. Raises `InvalidRequest` for pictures that cannot be
    read."""
    return tuple(
        _prepare(job, use, part, pictures, material, pass_plan) for use, part in job.controls.crossing(pass_plan)
    )


def _prepare(
    job: Job,
    use: ControlUse,
    part: ControlPart,
    pictures: Sequence[PicturePlan],
    material: Material | None,
    pass_plan: PassPlan,
) -> CrossUnit:
    maps = draw_maps(job, use, pictures, material, pass_plan)
    _, dtype = job.model.place("denoiser")
    hint = maps.hints.clamp(min=0)
    if part.config["conditioning_channel_order"] == "bgr":
        hint = hint.flip(1)
    seen = job.port.call(part.target, conditioning=hint.to(dtype))
    region = None
    if maps.region is not None:
        region = torch.nn.functional.avg_pool2d(maps.region[:, 0], job.model.family.latent_factor)
        region = region.expand(len(pictures), -1, -1)
    return CrossUnit(use.unit, part.loaded.module, seen.expand(len(pictures), -1, -1, -1), region)
