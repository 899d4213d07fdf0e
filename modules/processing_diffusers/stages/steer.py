"""What the ControlNets of a pass see: pictures of the units, or those that the job starts from, preprocessed."""

from __future__ import annotations

from collections.abc import Sequence

from modules.contracts.plan import PassPlan, PicturePlan
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.stages.maps import draw_maps
from modules.processing_diffusers.stages.steer_tokens import prepare_tokens, settle
from modules.processing_diffusers.stages.word import prepare_words
from modules.processing_diffusers.steering import SteeredUnit, Steering
from modules.processing_diffusers.steering_tokens import TokenUnit


def prepare_steering(
    job: Job, pictures: Sequence[PicturePlan], material: Material | None, pass_plan: PassPlan
) -> Steering | None:
    """The units that steer that pass, for these pictures in this order; None where there are none.

    Raises `InvalidRequest` for pictures that cannot be read.
    """
    acting = list(job.controls.acting(pass_plan))
    words = tuple(prepare_words(job, len(pictures), material, pass_plan))
    if not acting and not words:
        return None
    _, dtype = job.model.place("denoiser")
    units, tokens = list[SteeredUnit](), list[TokenUnit]()
    for use, part in acting:
        maps = draw_maps(job, use, pictures, material, pass_plan)
        if part.loaded.beside is not None:
            tokens.append(prepare_tokens(job, use, part, maps, len(pictures)))
            continue
        units.append(
            SteeredUnit(
                use.unit,
                part,
                maps.hints.expand(len(pictures), -1, -1, -1),
                maps.region,
                job.controls.condition_of(use) if part.loaded.kind == "union" else 0,
            )
        )
    return Steering((*units, *settle(tokens)), job.port, dtype, words)
