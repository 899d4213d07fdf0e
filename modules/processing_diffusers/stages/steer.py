"""What the ControlNets of a pass see: pictures of the units, or those that the job starts from, preprocessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from modules.contracts.control import ControlUnit
from modules.contracts.controls import PreprocessorEntry
from modules.contracts.plan import ControlUse, PassPlan, PicturePlan
from modules.control.geometry import fit
from modules.control.hints import SEEDED, Given, See, make_hint, region_of
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.pictures import decode_mask, decode_picture
from modules.processing_diffusers.stages.begin import Material, Repaint
from modules.processing_diffusers.stages.steer_tokens import Maps, prepare_tokens, settle
from modules.processing_diffusers.steering import SteeredUnit, Steering
from modules.processing_diffusers.steering_tokens import TokenUnit


def prepare_steering(
    job: Job, pictures: Sequence[PicturePlan], material: Material | None, pass_plan: PassPlan
) -> Steering | None:
    """The units that steer that pass, for these pictures in this order; None where there are none.

    Raises `InvalidRequest` for pictures that cannot be read.
    """
    acting = list(job.controls.acting(pass_plan))
    if not acting:
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
    return Steering((*units, *settle(tokens)), job.port, dtype)


def _differing(entry: PreprocessorEntry, sources: Sequence[Given], pictures: Sequence[PicturePlan]) -> int:
    """How many hints have to be made: one for all pictures, or one for each."""
    return len(pictures) if len(sources) > 1 or entry.name in SEEDED else 1


def _hint(
    unit: ControlUnit, entry: PreprocessorEntry, given: Given, size: tuple[int, int], seed: int, see: See
) -> tuple[np.ndarray, np.ndarray]:
    """Hint (3, height, width) and region (1, height, width) as fp32."""
    hint = np.ascontiguousarray(make_hint(entry, unit, given, size, seed, see).transpose(2, 0, 1))
    return hint, region_of(given, size, unit.resize_mode)[None].astype(np.float32) / 255.0


def sources_of(use: ControlUse, entry: PreprocessorEntry, material: Material | None) -> Iterator[Given]:
    """Picture and mask of the unit; else those that the job starts from, one for all or one for each picture."""
    unit, label = use.unit, f"ControlNet unit {use.number}"
    repaint = None if material is None else material.repaint
    mask = np.asarray(decode_mask(unit.mask, f"The mask of {label}")) if unit.mask else None
    if unit.image:
        given = Given(np.asarray(decode_picture(unit.image, f"The picture of {label}")), mask)
        yield _completed(_cut(given, unit, repaint), entry, repaint)
        return
    if material is None:
        raise ValueError(f"{label} has no picture.")  # validated before
    images = material.images if repaint is None else [_within(original, repaint) for original in repaint.originals]
    for image in images:
        given = Given(np.asarray(image.convert("RGB")), None)
        if mask is not None:
            whole = image.size if repaint is None else repaint.originals[0].size
            placed = Image.fromarray(mask).resize(whole, Image.Resampling.BILINEAR)
            given = replace(given, mask=np.asarray(placed if repaint is None else _within(placed, repaint)))
        yield _completed(given, entry, repaint)


def _cut(given: Given, unit: ControlUnit, repaint: Repaint | None) -> Given:
    """The part of the unit's picture that lies where a cut-out is worked on."""
    if repaint is None or repaint.box is None:
        return given
    whole = repaint.originals[0].size
    image = fit(given.image, whole, unit.resize_mode)
    mask = None if given.mask is None else region_of(given, whole, unit.resize_mode)
    left, top, right, bottom = repaint.box
    return Given(image[top:bottom, left:right], None if mask is None else mask[top:bottom, left:right])


def _completed(given: Given, entry: PreprocessorEntry, repaint: Repaint | None) -> Given:
    """With the job's own mask, where the preprocessor wants one and the unit brought none."""
    if not entry.masked or given.mask is not None or repaint is None:
        return given
    height, width = given.image.shape[:2]
    own = _within(repaint.mask, repaint).resize((width, height), Image.Resampling.BILINEAR)
    return replace(given, mask=np.asarray(own))


def _within(image: Image.Image, repaint: Repaint) -> Image.Image:
    return image if repaint.box is None else image.crop(repaint.box)
