"""From what a detector found to masks: which finds count, and what each of them covers."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from modules.contracts.detailer import MERGES, ORDERS, RegionParams
from modules.detectors.base import Region, Shape


def select_masks(found: Sequence[Region], wanted: RegionParams) -> list[Shape]:
    """Masks of the regions that the request wants, in the detector's order; white is drawn anew.

    What counts, and in which order it is done, are ADetailer's: size, number, offset, growth, merging. Masks that end
    up empty are left out.
    """
    kept = [region for region in found if wanted.min_ratio <= _share(region) <= wanted.max_ratio]
    if wanted.most:
        by_area = wanted.order == ORDERS[0]
        best = sorted(kept, key=lambda region: -(_share(region) if by_area else region.score))[: wanted.most]
        kept = [region for region in kept if region in best]
    masks = [_grown(_moved(region.shape, wanted.x_offset, wanted.y_offset), wanted.dilate) for region in kept]
    masks = [mask for mask in masks if mask.any()]
    if wanted.merge == MERGES[0] or not masks:
        return masks
    together = np.maximum.reduce(masks)
    whole: Shape = together if wanted.merge == MERGES[1] else 255 - together
    return [whole] if whole.any() else []


def _share(region: Region) -> float:
    left, top, right, bottom = region.box
    return (right - left) * (bottom - top) / region.shape.size


def _moved(shape: Shape, right: int, up: int) -> Shape:
    if not right and not up:
        return shape
    height, width = shape.shape
    found = np.zeros_like(shape)
    target = _overlap(height, -up), _overlap(width, right)
    source = _overlap(height, up), _overlap(width, -right)
    found[target] = shape[source]
    return found


def _overlap(length: int, offset: int) -> slice:
    """What of an axis lies within itself once it is moved."""
    return slice(min(max(offset, 0), length), max(min(length + offset, length), 0))


def _grown(shape: Shape, amount: int) -> Shape:
    """The shape wider by `amount` / 2 pixels on each side, or narrower, by a square as ADetailer's."""
    if not amount:
        return shape
    square = np.ones((abs(amount), abs(amount)), np.uint8)
    found: Shape = cv2.dilate(shape, square) if amount > 0 else cv2.erode(shape, square)
    return found
