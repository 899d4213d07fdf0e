"""People with hands and faces: DWPose (Yang et al., arXiv:2307.15880) as an ONNX file, computed by OpenCV.

The network tells 133 keypoints, COCO-WholeBody's (Jin et al., arXiv:2007.11858): of the body 17 as in COCO, of the feet
6, of the face 68, of each hand 21. For each it gives two rows of numbers, one across and one down the part it looks at
(SimCC, Li et al., arXiv:2107.03332), two to the pixel; the place is where each is highest. What is drawn is as OpenPose
(arXiv:1812.08008) draws it and ControlNets read it.
"""

from __future__ import annotations

import colorsys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from modules.contracts.errors import BrokenModel
from modules.control.figures import Parts
from modules.control.preprocessors.base import Pixels
from modules.control.preprocessors.poses import SURE, Cutting, Floats, draw_figures, find_width, to_openpose

SIDES = (288, 384)
"""Width and height of what the network looks at, in pixels."""
CELLS = 2
"""Numbers to the pixel in each row."""
MEAN, SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of red, green and blue, as the network was trained."""
BODY, FACE, HANDS = slice(0, 17), slice(23, 91), (slice(91, 112), slice(112, 133))
"""Which of the keypoints are whose."""
POINTS = 133
ROOT, FINGERS, JOINTS = 0, 5, 4
"""A hand is a wrist and five fingers of four joints each, the thumb first, from the wrist outward."""
BLUE, WHITE = (0, 0, 255), (255, 255, 255)


class WholeBody:
    """The network of one file. Safe from any thread; as OpenCV keeps the state of a call, calls take turns."""

    def __init__(self, path: Path) -> None:
        """Raises `BrokenModel` for what OpenCV cannot read."""
        self._name, self._turn = path.name, threading.Lock()
        self.size_bytes = path.stat().st_size
        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise BrokenModel(f"{path.name} cannot be read by OpenCV: {str(error).splitlines()[0]:.200}") from error

    def find_points(self, image: Pixels, box: Sequence[float]) -> Floats:
        """Keypoints (133, 3) of the person in that box (left, top, right, bottom): places in the picture in pixels, and
        how sure they are. Raises `BrokenModel` where the network answers otherwise."""
        cutting = Cutting.of(box, SIDES[0] / SIDES[1])
        shown = (cutting.cut(image, SIDES, whole=True).astype(np.float32) - MEAN) / np.array(SPREAD, np.float32)
        said = self._ask(np.ascontiguousarray(shown.transpose(2, 0, 1)[None], np.float32))
        wanted = [(1, POINTS, side * CELLS) for side in SIDES]
        across, down = (next((one[0] for one in said if one.shape == shape), None) for shape in wanted)
        if across is None or down is None:
            shapes = ", ".join(str(tuple(one.shape)) for one in said)
            raise BrokenModel(f"{self._name} gives {shapes}; DWPose gives {wanted[0]} and {wanted[1]}.")
        cells = np.stack([across.argmax(1), down.argmax(1)], 1).astype(np.float32)
        sure = np.minimum(across.max(1), down.max(1))
        places = cells / CELLS / np.array(SIDES) * np.array(cutting.size) + cutting.corner
        return np.hstack([places, sure[:, None]]).astype(np.float32)

    def _ask(self, shown: Floats) -> list[Floats]:
        try:
            with self._turn:
                self._network.setInput(shown)
                outputs = self._network.forward(self._network.getUnconnectedOutLayersNames())
                return [np.array(one, np.float32) for one in outputs]
        except cv2.error as error:
            raise BrokenModel(f"{self._name} does not take {tuple(shown.shape)}, as DWPose does.") from error


def draw_people(people: Sequence[Floats], parts: Parts, size: tuple[int, ...]) -> Pixels:
    """Those parts of all people's keypoints (133, 3) on black, (height, width, 3)."""
    canvas = draw_figures([to_openpose(points[BODY]) for points in people] if parts.body else [], size)
    width = find_width(size)
    for points in people:
        for hand in HANDS if parts.hands else ():
            _draw_hand(canvas, points[hand], width)
        if parts.face:
            _draw_dots(canvas, points[FACE], WHITE, max(round(width * 3 / 4), 1))
    return canvas


def _draw_hand(canvas: Pixels, points: Floats, width: int) -> None:
    """Lines in the colours of the rainbow from joint to joint, and blue joints."""
    for finger in range(FINGERS):
        for joint in range(JOINTS):
            number = finger * JOINTS + joint
            one, other = points[ROOT if joint == 0 else number], points[number + 1]
            if min(one[2], other[2]) >= SURE:
                colour = [round(share * 255) for share in colorsys.hsv_to_rgb(number / (FINGERS * JOINTS), 1.0, 1.0)]
                cv2.line(canvas, _pixel(one), _pixel(other), colour, max(round(width / 2), 1))
    _draw_dots(canvas, points, BLUE, width)


def _draw_dots(canvas: Pixels, points: Floats, colour: tuple[int, int, int], radius: int) -> None:
    for point in points:
        if point[2] >= SURE:
            cv2.circle(canvas, _pixel(point), radius, colour, -1)


def _pixel(point: Any) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
