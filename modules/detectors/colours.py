"""Detectors that need no weights: parts of one colour, and parts that stand out from the ground."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from modules.contracts.errors import InvalidRequest
from modules.detectors.base import Pixels, Region, Wish

Plane = NDArray[np.float32]
HUES = 50.0
"""Degrees between two hues that have nothing in common; red and orange are 42 apart, blue and purple 64."""
PALE = 0.4
"""Share of the wanted colour's chroma below which a colour is not called by its name."""
GREY = 0.03
"""Chroma below which a wanted colour is black, grey or white."""
REACH = 50.0
"""Distance in CIELAB at which something stands out for sure."""
CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
OPPONENTS = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
"""Oklab's two matrices, from linear sRGB."""
LEAST = 0.001
"""Share of the picture below which a spot is no region."""
EDGE = 0.03
"""Share of the shorter side that counts as the picture's edge, where the ground is looked for."""
FAINT = 12.0
"""Distance in CIELAB below which nothing stands out."""


def find_colours(image: Pixels, wish: Wish) -> list[Region]:
    """Connected parts whose colour is like one of the wish's classes: names as in CSS, or #rrggbb.

    How like two colours are is said by their hues, less by their lightness, in Oklab (Ottosson 2020); it has to be the
    wish's confidence at least. Raises `InvalidRequest` for a word that is no colour.
    """
    colours, found = _oklab(image), list[Region]()
    for word in wish.classes:
        likeness = _likeness(colours, _oklab_of(word))
        found += _parts(likeness, (likeness >= wish.confidence) & (likeness > 0), word)
    return found


def _likeness(colours: Plane, wanted: Plane) -> Plane:
    """1 where the colours are the wanted one, falling to 0 and below."""
    chroma, goal = np.hypot(colours[..., 1], colours[..., 2]), float(np.hypot(wanted[1], wanted[2]))
    lighter = np.abs(colours[..., 0] - wanted[0])
    if goal < GREY:
        found = 1 - (lighter + 2 * chroma) * 2
    else:
        angle = np.degrees(np.arctan2(colours[..., 2], colours[..., 1]) - np.arctan2(wanted[2], wanted[1]))
        away = np.abs((angle + 180) % 360 - 180)
        found = np.where(chroma >= PALE * goal, 1 - away / HUES - lighter / 2, 0)
    return np.asarray(found, np.float32)


def find_contrasts(image: Pixels, wish: Wish) -> list[Region]:
    """Connected parts that stand out from the ground, which is the colour that the picture's edge has most of.

    Where the parts begin is said by Otsu's threshold (1979) on the distances from that colour; a region's score is its
    mean distance by `REACH`, at most 1. A ground of several colours stands out from itself.
    """
    lab = cv2.GaussianBlur(_lab(image), (0, 0), 1.0)
    away = np.linalg.norm(lab - _ground(lab), axis=2).astype(np.float32)
    scaled = np.clip(away, 0, 255).astype(np.uint8)
    line, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    parts = _parts(np.clip(away / REACH, 0, 1), away > max(line, FAINT), "")
    return [part for part in parts if part.score >= wish.confidence]


def _parts(score: Plane, inside: NDArray[np.bool_], label: str) -> Iterator[Region]:
    """The connected parts, largest first, without single grains."""
    smooth = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, numbers, facts, _ = cv2.connectedComponentsWithStats(smooth, connectivity=8)
    sizes = facts[:, cv2.CC_STAT_AREA]
    for number in sorted(range(1, count), key=lambda each: -int(sizes[each])):
        if sizes[number] >= LEAST * inside.size:
            part = numbers == number
            yield Region((part * 255).astype(np.uint8), float(np.clip(score[part].mean(), 0, 1)), label)


def _ground(lab: Plane) -> Plane:
    """The commonest colour of the edge: the mean of the fullest cell of a coarse grid of colours."""
    height, width = lab.shape[:2]
    wide = max(round(min(height, width) * EDGE), 1)
    edge = np.ones((height, width), bool)
    edge[wide:-wide, wide:-wide] = False
    colours = lab[edge]
    cells = np.round(colours / 8).astype(np.int64)
    _, place, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    found: Plane = colours[place.reshape(-1) == counts.argmax()].mean(axis=0)
    return found


def _lab(image: Pixels) -> Plane:
    found: Plane = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return found


def _oklab_of(word: str) -> Plane:
    try:
        colour = ImageColor.getrgb(word)[:3]
    except ValueError:
        raise InvalidRequest(f"{word!r} is no colour; a name such as red, or one as #ff8000, is needed.") from None
    found: Plane = _oklab(np.array([[colour]], np.uint8))[0, 0]
    return found


def _oklab(colours: Pixels) -> Plane:
    """Lightness and the two opponent axes."""
    srgb = colours.astype(np.float32) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ np.array(CONES, np.float32).T)
    return np.asarray(cones @ np.array(OPPONENTS, np.float32).T, np.float32)
