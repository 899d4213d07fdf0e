"""Maps of a unit's pictures, at the drawing's size: what ControlNets of all kinds see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from modules.contracts.control import ControlUnit
from modules.contracts.controls import PreprocessorEntry
from modules.contracts.plan import ControlUse, PassPlan, PicturePlan
from modules.control.hints import SEEDED, Given, See, make_hint, region_of
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.stages.sources import sources_of


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of one unit: one for all pictures of the batch, or one each, in fp32 on the denoiser's device."""

    hints: torch.Tensor
    """(maps, 3, height, width): 0 to 1, -1 where an inpaint preprocessor hides."""
    region: torch.Tensor | None
    """(pictures, 1, height, width), 1 where the unit acts; None is everywhere."""


def draw_maps(
    job: Job, use: ControlUse, pictures: Sequence[PicturePlan], material: Material | None, pass_plan: PassPlan
) -> Maps:
    """The maps for these pictures in this order. Raises `InvalidRequest` for pictures that cannot be read."""
    entry, size = job.controls.catalog.find_preprocessor(use.module), (pass_plan.width, pass_plan.height)
    sources = list(sources_of(use, entry, material))
    drawn = [
        _hint(use.unit, entry, sources[place % len(sources)], size, picture.seed, job.controls.catalog.see)
        for place, picture in enumerate(pictures[: _differing(entry, sources, pictures)])
    ]
    device, _ = job.model.place("denoiser")
    hints, regions = (torch.from_numpy(np.stack(column)).to(device) for column in zip(*drawn, strict=True))
    masked = use.unit.mask and not entry.masked
    return Maps(hints, regions.expand(len(pictures), -1, -1, -1) if masked else None)


def _differing(entry: PreprocessorEntry, sources: Sequence[Given], pictures: Sequence[PicturePlan]) -> int:
    """How many hints have to be made: one for all pictures, or one for each."""
    return len(pictures) if len(sources) > 1 or entry.name in SEEDED else 1


def _hint(
    unit: ControlUnit, entry: PreprocessorEntry, given: Given, size: tuple[int, int], seed: int, see: See
) -> tuple[np.ndarray, np.ndarray]:
    """Hint (3, height, width) and region (1, height, width) as fp32."""
    hint = np.ascontiguousarray(make_hint(entry, unit, given, size, seed, see).transpose(2, 0, 1))
    return hint, region_of(given, size, unit.resize_mode)[None].astype(np.float32) / 255.0
