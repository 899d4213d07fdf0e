"""Faces cut out upright at the size and place that restorers were trained on, and put back softly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 512
TEMPLATE = ((192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15))
"""Eyes, tip of the nose and corners of the mouth in an aligned face of FFHQ at 512 pixels, the left ones first."""
BOX_HEIGHT, BOX_MIDDLE = 345.0, (256.0, 278.0)
"""Where the box that detectors draw from forehead to chin lies in such a face: eyes at 0.39 of its height, the mouth at
0.77."""
FEATHER = 64
"""Pixels of the aligned face over which it fades into the picture."""
Pixels = NDArray[np.uint8]
"""uint8 of shape (H, W, 3), RGB."""
Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placing:
    """A similarity from the picture to the aligned face: z → turn · z + shift, with z = x + iy in pixels."""

    turn: complex
    shift: complex

    @property
    def scale(self) -> float:
        """Pixels of the aligned face for one of the picture."""
        return abs(self.turn)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The same as (2, 3)."""
        a, b = self.turn.real, self.turn.imag
        return np.array([[a, -b, self.shift.real], [b, a, self.shift.imag]])


def place_by_points(points: Sequence[tuple[float, float]]) -> Placing | None:
    """The similarity that brings five points nearest to the template in the sense of least squares.

    Umeyama 1991 solves this in any dimension; in the plane, without reflection, the solution is one complex quotient.
    None where all points are one.
    """
    given = np.array([complex(x, y) for x, y in points])
    wanted = np.array([complex(x, y) for x, y in TEMPLATE])
    around, goal = given - given.mean(), wanted - wanted.mean()
    spread = float(np.vdot(around, around).real)
    if spread < 1e-6:
        return None
    turn = complex(np.vdot(around, goal) / spread)
    return Placing(turn, complex(wanted.mean() - turn * given.mean())) if abs(turn) > 1e-6 else None


def place_by_box(box: tuple[float, float, float, float]) -> Placing:
    """The same for a detector that gives nothing but a box (left, top, right, bottom): the face is taken as upright."""
    left, top, right, bottom = box
    scale = BOX_HEIGHT / max(bottom - top, 1.0)
    middle = complex((left + right) / 2, (top + bottom) / 2)
    return Placing(complex(scale), complex(*BOX_MIDDLE) - scale * middle)


def cut_face(picture: Pixels, placing: Placing) -> Pixels:
    """The aligned face, (512, 512, 3); beyond the picture's edge it is mirrored."""
    smooth = _smoothed(picture, 1 / placing.scale)
    found: Pixels = cv2.warpAffine(
        smooth, placing.matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return found


def put_back(picture: Pixels, face: Pixels, placing: Placing, share: float) -> Pixels:
    """A copy of the picture with `share` (0 to 1) of the aligned face over it, fading out towards its border.

    Pixels that the face does not reach are those of the picture, bit for bit.
    """
    height, width = picture.shape[:2]
    corners = np.array([0, SIDE, complex(0, SIDE), complex(SIDE, SIDE)])
    there = (corners - placing.shift) / placing.turn
    left, top = max(int(there.real.min()), 0), max(int(there.imag.min()), 0)
    right, bottom = min(int(there.real.max()) + 2, width), min(int(there.imag.max()) + 2, height)
    made = picture.copy()
    if left >= right or top >= bottom:
        return made
    # Only the window round the face is worked on.
    window = Placing(placing.turn, placing.shift + placing.turn * complex(left, top))
    size, backwards = (right - left, bottom - top), cv2.invertAffineTransform(window.matrix)
    smooth = _smoothed(face, placing.scale).astype(np.float32)
    drawn = cv2.warpAffine(smooth, backwards, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(_fading(), backwards, size, flags=cv2.INTER_LINEAR, borderValue=0)
    part = made[top:bottom, left:right]
    mixed = part + (drawn - part) * (mask * np.float32(share))[..., None]
    part[mask > 0] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)[mask > 0]
    return made


def _smoothed(picture: Pixels, shrink: float) -> Pixels:
    """Without what would alias where so many pixels become one."""
    if shrink <= 1:
        return picture
    found: Pixels = cv2.GaussianBlur(picture, (0, 0), 0.5 * float(np.sqrt(shrink**2 - 1)) + 1e-3)
    return found


def _fading() -> Plane:
    """1 in the middle of the aligned face, falling smoothly to 0 at its border."""
    away = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]).astype(np.float32)
    ramp = np.clip(away / FEATHER, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    found: Plane = np.outer(ramp, ramp).astype(np.float32)
    return found
