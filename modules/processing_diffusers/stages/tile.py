"""The tiles in which a pass is drawn."""

from __future__ import annotations

from modules.contracts.plan import PassPlan
from modules.contracts.tiles import MIXED
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.tiles import Grid, Tiles


def tiles_of(job: Job, pass_plan: PassPlan) -> Tiles | None:
    """The tiles of that pass; None for one that the denoiser sees whole."""
    plan, family = pass_plan.tiles, job.model.family
    if plan is None:
        return None
    factor = family.latent_factor
    grid = Grid(
        (pass_plan.height // factor, pass_plan.width // factor),
        (plan.height // factor, plan.width // factor),
        plan.overlap // factor,
        max(family.size_multiple // factor, 1),
        job.plan.request.canvas.tiling,
    )
    gaussian = plan.method == MIXED
    return Tiles(grid, job.model.adapter, factor=factor, gaussian=gaussian, check=job.strand.check)


def cells_seen(job: Job, pass_plan: PassPlan) -> int:
    """Latent cells that a call of the denoiser has: those of the canvas, or of a tile."""
    size = pass_plan if pass_plan.tiles is None else pass_plan.tiles
    factor = job.model.family.latent_factor
    frames = 1 if job.plan.film is None else job.plan.film.latent_frames
    return frames * (size.height // factor) * (size.width // factor)
