"""Figures of people, as OpenPose draws them and ControlNets learned to read them, of the heatmaps of a pose network.

Heatmaps are of the 17 keypoints of COCO; OpenPose (Cao et al., arXiv:1812.08008) has a neck besides, in the middle of
the shoulders. Cut-outs map the middle of the first pixel to that of the first cell and last to last, which is what the
network was trained with (unbiased data processing, Huang et al., arXiv:1911.07524).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.control.preprocessors.base import Pixels

Floats = NDArray[np.float32]
SURE = 0.3
"""Height of a peak from which a keypoint is believed."""
ROOM = 1.25
"""A cut-out's size in that of the person."""
ORDER = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""Which of COCO's keypoints each of OpenPose's is; None is the neck."""
SHOULDERS = (5, 6)
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
HUES = np.frombuffer(
    bytes.fromhex(
        "ff0000 ff5500 ffaa00 ffff00 aaff00 55ff00 00ff00 00ff55 00ffaa 00ffff 00aaff 0055ff 0000ff 5500ff aa00ff "
        "ff00ff ff00aa ff0055"
    ),
    np.uint8,
).reshape(-1, 3)
"""Colours of the keypoints, and, dimmed, of the limbs, (18, 3)."""
DIM = 0.6
WIDTH = 4
"""Half the width of a limb, and the radius of a keypoint, in pixels of a picture with a shorter side of USUAL."""
USUAL = 512


@dataclass(frozen=True, slots=True)
class Cutting:
    """The part of a picture that a pose network looks at, in pixels of the picture."""

    middle: tuple[float, float]
    size: tuple[float, float]
    """Width and height."""

    @classmethod
    def of(cls, box: Sequence[float], ratio: float) -> Cutting:
        """Round a box (left, top, right, bottom), with some room and of that width in heights."""
        left, top, right, bottom = box
        width, height = max(right - left, 1.0), max(bottom - top, 1.0)
        width, height = max(width, height * ratio), max(height, width / ratio)
        return cls(((left + right) / 2, (top + bottom) / 2), (width * ROOM, height * ROOM))

    @property
    def corner(self) -> Floats:
        """Left and top."""
        return np.asarray(np.array(self.middle) - np.array(self.size) / 2, np.float32)

    def cut(self, image: Pixels, size: tuple[int, int], *, whole: bool = False) -> Pixels:
        """The part at `size` (width, height); black beyond the picture. `whole` maps edges to edges, which other
        networks were trained with."""
        scale = (np.array(size, np.float32) - (0 if whole else 1)) / np.array(self.size, np.float32)
        matrix = np.hstack([np.diag(scale), (-scale * self.corner)[:, None]]).astype(np.float32)
        return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)

    def find_points(self, heatmaps: Floats) -> Floats:
        """Keypoints (n, 3) of heatmaps (n, height, width): places in the picture and how sure they are."""
        height, width = heatmaps.shape[1:]
        cells = np.array([_peak(one) for one in heatmaps], np.float32)
        places = cells[:, :2] * np.array(self.size) / (np.array([width, height]) - 1) + self.corner
        return np.hstack([places, cells[:, 2:]]).astype(np.float32)


def _peak(heatmap: Floats) -> tuple[float, float, float]:
    """Where the highest place is, between cells, and its height."""
    row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    across = _between(heatmap[row], int(column))
    return int(column) + across, int(row) + _between(heatmap[:, column], int(row)), float(heatmap[row, column])


def _between(line: Floats, place: int) -> float:
    """How far from the cell the top of a Gaussian through it and its neighbours lies, at most half a cell
    (Zhang et al., arXiv:1910.06278)."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, here, after = np.log(np.maximum(line[place - 1 : place + 2], 1e-9)).tolist()
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else min(max((before - after) / (2 * bend), -0.5), 0.5)


def to_openpose(points: Floats) -> list[tuple[float, float] | None]:
    """OpenPose's 18 keypoints of COCO's (17, 3); None for those that are not seen."""
    seen: list[tuple[float, float] | None] = [
        (float(x), float(y)) if sure >= SURE else None for x, y, sure in points.tolist()
    ]
    left, right = (seen[place] for place in SHOULDERS)
    neck = None if left is None or right is None else ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
    return [neck if place is None else seen[place] for place in ORDER]


def find_width(size: tuple[int, ...]) -> int:
    """Half the width of a limb in a picture of that size (height, width)."""
    return max(round(WIDTH * min(size) / USUAL), 1)


def draw_figures(people: Sequence[Sequence[tuple[float, float] | None]], size: tuple[int, ...]) -> Pixels:
    """The figures on black, (height, width, 3)."""
    canvas = np.zeros((*size, 3), np.uint8)
    width = find_width(size)
    for points in people:
        for number, (one, other) in enumerate(LIMBS):
            _draw_limb(canvas, points[one], points[other], tuple((HUES[number] * DIM).astype(int).tolist()), width)
    for points in people:
        for number, point in enumerate(points):
            if point is not None:
                cv2.circle(canvas, (round(point[0]), round(point[1])), width, HUES[number].tolist(), -1)
    return canvas


def _draw_limb(canvas: Pixels, one: Any, other: Any, colour: tuple[int, ...], width: int) -> None:
    """An ellipse from one keypoint to the other, where both are seen."""
    if one is None or other is None:
        return
    (left, top), (right, bottom) = one, other
    middle = (round((left + right) / 2), round((top + bottom) / 2))
    length, angle = np.hypot(right - left, bottom - top) / 2, np.degrees(np.arctan2(bottom - top, right - left))
    outline = cv2.ellipse2Poly(middle, (max(round(length), 1), width), round(angle), 0, 360, 1)
    cv2.fillConvexPoly(canvas, outline, colour)
