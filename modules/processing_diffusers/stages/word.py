"""Pictures of Redux units on their way to a pass: seen by an image encoder, said in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from modules.contracts.plan import ControlUse, PassPlan
from modules.control.redux import show_whole_to
from modules.processing_diffusers.control_part import WordsPart
from modules.processing_diffusers.image_words import ImageWords
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.pictures import decode_picture
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.stages.sources import sources_of


def prepare_words(job: Job, count: int, material: Material | None, pass_plan: PassPlan) -> Iterator[ImageWords]:
    """The Reduxes of that pass, for `count` pictures. Raises `InvalidRequest` for pictures that cannot be read."""
    for use, part in job.controls.wording(pass_plan):
        yield _prepare(job, use, part, count, material)


def _prepare(job: Job, use: ControlUse, part: WordsPart, count: int, material: Material | None) -> ImageWords:
    # A picture of the unit's own is looked at whole, whatever part of the drawing is worked on.
    if use.unit.image:
        images = [np.asarray(decode_picture(use.unit.image, f"The picture of ControlNet unit {use.number}"))]
    else:
        entry = job.controls.catalog.find_preprocessor(use.module)
        images = [given.image for given in sources_of(use, entry, material)]
    device, dtype = job.model.place("denoiser")
    shown = torch.cat([show_whole_to(part.encoder.module, image) for image in images]).to(device, dtype)
    said = job.port.call(part.target, seen=job.port.call(part.encoder.target, pixels=shown))
    return ImageWords(use.unit, said[[place % len(images) for place in range(count)]] * use.unit.weight)
