"""Pictures and masks of units: their own, or those that the job starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from modules.contracts.control import ControlUnit
from modules.contracts.controls import PreprocessorEntry
from modules.contracts.plan import ControlUse
from modules.control.geometry import fit
from modules.control.hints import Given, region_of
from modules.processing_diffusers.pictures import decode_mask, decode_picture
from modules.processing_diffusers.stages.begin import Material, Repaint


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
