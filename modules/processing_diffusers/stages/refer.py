"""Pictures that a pass looks at: those of the units, or those that the job starts from, brought into latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from modules.contracts.plan import ControlUse, PassPlan, PicturePlan
from modules.control.hints import make_hint, numbers_of
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.noise import make_generator
from modules.processing_diffusers.referring import Reference, Referring, fidelity_of
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.stages.cross import prepare_crossings
from modules.processing_diffusers.stages.sources import sources_of
from modules.processing_diffusers.stages.speak import prepare_speeches
from modules.processing_diffusers.stages.style import prepare_styles


def prepare_references(
    job: Job, pictures: Sequence[PicturePlan], material: Material | None, pass_plan: PassPlan
) -> Referring:
    """What that pass looks at, for these pictures in this order; it may be nothing.

    Raises `InvalidRequest` for pictures that cannot be read.
    """
    shelf = job.model.fittings.shelves[job.model.fittings.denoiser]
    seeds = tuple(picture.seed for picture in pictures)
    found = tuple(_prepare(job, use, len(pictures), material, pass_plan) for use in job.controls.references(pass_plan))
    found = (*found, *prepare_styles(job, len(pictures), material, pass_plan))
    prompts = prepare_speeches(job, len(pictures), material, pass_plan)
    crossings = prepare_crossings(job, pictures, material, pass_plan)
    return Referring(shelf, seeds, found, prompts, _levels(job) if found else None, crossings=crossings)


def _prepare(job: Job, use: ControlUse, count: int, material: Material | None, pass_plan: PassPlan) -> Reference:
    entry = job.controls.catalog.find_preprocessor(use.module)
    size = (pass_plan.width, pass_plan.height)
    shown = [
        make_hint(entry, use.unit, given, size, 0, job.controls.catalog.see).transpose(2, 0, 1)
        for given in sources_of(use, entry, material)
    ]
    # The same draw from the posterior for every picture, so that one of a batch is what it would be alone.
    generators = [make_generator(0, "reference") for _ in shown]
    latents = job.vae.encode(job.vae_port, torch.from_numpy(np.stack(shown)), generators, note=job.strand.note)
    (fidelity,) = numbers_of(entry, use.unit)
    return Reference(
        use.number,
        use.unit,
        use.module,
        latents.to(job.model.place("denoiser")[0])[[place % len(shown) for place in range(count)]],
        fidelity_of(
            use.unit,
            fidelity,
            sdxl=job.model.family.adapter == "sdxl",
            hires=pass_plan is job.plan.hires,
        ),
    )


def _levels(job: Job) -> torch.Tensor:
    """By time step of the model's training, the share of the variance that is the picture's."""
    from diffusers import DDPMScheduler

    levels: torch.Tensor = DDPMScheduler.from_config(job.model.loaded.components["scheduler"].config).alphas_cumprod
    return levels
