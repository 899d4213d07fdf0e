"""What the ControlNets of a pass see: pictures of the units, or those that the job starts from, preprocessed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from modules.contracts.control import ControlUnit
from modules.contracts.controls import PreprocessorEntry
from modules.contracts.plan import PassPlan, PicturePlan
from modules.control.hints import SEEDED, Given, See, make_hint, region_of
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.stages.sources import sources_of
from modules.processing_diffusers.stages.steer_tokens import Maps, prepare_tokens, settle
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
    device, dtype = job.model.place("denoiser")
    size, units, tokens = (pass_plan.width, pass_plan.height), list[SteeredUnit](), list[TokenUnit]()
    for use, part in acting:
        entry = job.controls.catalog.find_preprocessor(use.module)
        sources = list(sources_of(use, entry, material))
        drawn = [
            _hint(use.unit, entry, sources[place % len(sources)], size, picture.seed, job.controls.catalog.see)
            for place, picture in enumerate(pictures[: _differing(entry, sources, pictures)])
        ]
        hints, regions = (torch.from_numpy(np.stack(column)).to(device) for column in zip(*drawn, strict=True))
        regions = regions.expand(len(pictures), -1, -1, -1)
        region = None if entry.masked or not use.unit.mask else regions
        if part.loaded.beside is not None:
            tokens.append(prepare_tokens(job, use, part, Maps(hints, region), len(pictures)))
            continue
        units.append(
            SteeredUnit(
                use.unit,
                part,
                hints.expand(len(pictures), -1, -1, -1),
                region,
                job.controls.condition_of(use) if part.loaded.kind == "union" else 0,
            )
        )
    return Steering((*units, *settle(tokens)), job.port, dtype, words)


def _differing(entry: PreprocessorEntry, sources: Sequence[Given], pictures: Sequence[PicturePlan]) -> int:
    """How many hints have to be made: one for all pictures, or one for each."""
    return len(pictures) if len(sources) > 1 or entry.name in SEEDED else 1


def _hint(
    unit: ControlUnit, entry: PreprocessorEntry, given: Given, size: tuple[int, int], seed: int, see: See
) -> tuple[np.ndarray, np.ndarray]:
    """Hint (3, height, width) and region (1, height, width) as fp32."""
    hint = np.ascontiguousarray(make_hint(entry, unit, given, size, seed, see).transpose(2, 0, 1))
    return hint, region_of(given, size, unit.resize_mode)[None].astype(np.float32) / 255.0
