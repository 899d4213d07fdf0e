"""Parts a picture into its ground and the things that stand out from it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.pocket.evaluation.colours import NAMES, Picture, measure_distance, name_pixels, to_lab

_FAINT = 9.0
"""Least distance from the ground in CIELAB of what stands out from it; noise of the ground raises it."""

_SMALLEST = 0.0025
"""Least area of a thing as a share of the picture's."""

_BESIDE_LARGEST = 0.2
"""Least area of a thing as a share of the largest one's; what is smaller is a detail or a speck."""

_BETWEEN = 0.034
"""Pieces less than this share of the side apart are one thing: a sail and its hull. Things stand further apart."""

_CRACK = 0.018
"""Gaps in an outline up to this share of the side are closed."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One thing: a mask of the whole picture's shape, uint8 0 or 1, without its holes."""

    filled: Picture
    hole: float
    """Share of `filled` that its largest hole takes."""
    area: int
    """Pixels of `filled`."""


def find_ground(picture: Picture) -> NDArray[np.float64]:
    """The RGB colour of the ground: of the colour that most of the rim has."""
    pixels = _rim(picture)
    names = name_pixels(pixels[None])[0]
    most = int(np.bincount(names, minlength=len(NAMES)).argmax())
    return np.asarray(np.median(pixels[names == most], axis=0), np.float64)


def stand_out(picture: Picture, ground: NDArray[np.float64]) -> Picture:
    """1 where a pixel differs from the ground, uint8 (height, width). The border is halfway from ground to thing."""
    base = to_lab(np.clip(ground, 0, 255).astype(np.uint8).reshape(1, 1, 3))[0, 0]
    distance = measure_distance(to_lab(cv2.medianBlur(picture, 3)), base)
    rim = measure_distance(to_lab(_rim(picture)[None]), base)
    quiet = max(_FAINT, 3 * float(np.median(rim)))
    strong = distance[distance > quiet]
    if strong.size < _SMALLEST * distance.size:
        return np.zeros(distance.shape, np.uint8)
    return (distance > max(quiet, 0.5 * float(np.median(strong)))).astype(np.uint8)


def find_segments(mask: Picture) -> list[Segment]:
    """The things of a mask (height, width), largest first; pieces close to each other are one, specks are left out."""
    _, labels = cv2.connectedComponents(cv2.dilate(mask, _disc(_BETWEEN * max(mask.shape))), connectivity=8)
    sizes = np.bincount(labels[mask > 0], minlength=2)
    least = max(_SMALLEST * mask.size, 0.5 * _BESIDE_LARGEST * int(sizes.max()))
    found = [_fill(mask * (labels == label)) for label in np.flatnonzero(sizes >= least)]
    found.sort(key=lambda segment: segment.area, reverse=True)
    return [segment for segment in found if segment.area >= _BESIDE_LARGEST * found[0].area]


def find_core(segment: Segment, mask: Picture) -> NDArray[np.bool_]:
    """The pixels of a thing well inside of its border, of the picture's shape; the whole of it where it is thin."""
    own = segment.filled & mask
    reach = max(1, round(0.06 * np.sqrt(segment.area)))
    core = cv2.erode(own, np.ones((2 * reach + 1,) * 2, np.uint8))
    return np.asarray((core if core.sum() >= 0.1 * segment.area else own) > 0)


def _fill(mask: Picture) -> Segment:
    """One thing from the mask of its pieces."""
    kernel = _disc(_CRACK * max(mask.shape))
    wide = len(kernel)
    framed = cv2.copyMakeBorder(mask, wide, wide, wide, wide, cv2.BORDER_CONSTANT, value=0)
    closed = np.ascontiguousarray(cv2.morphologyEx(framed, cv2.MORPH_CLOSE, kernel)[wide:-wide, wide:-wide])
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, thickness=-1)
    area = int(filled.sum())
    _, _, holes, _ = cv2.connectedComponentsWithStats(filled & (1 - mask), connectivity=4)
    return Segment(filled, int(holes[1:, cv2.CC_STAT_AREA].max(initial=0)) / max(1, area), area)


def _disc(across: float) -> Picture:
    """A round kernel about so many pixels across, an odd number of them."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(across / 2) + 1,) * 2), np.uint8)


def _rim(picture: Picture) -> Picture:
    """The pixels along the border, (n, 3)."""
    wide = max(2, picture.shape[0] // 32)
    parts = (picture[:wide], picture[-wide:], picture[:, :wide], picture[:, -wide:])
    return np.concatenate([part.reshape(-1, 3) for part in parts])
