"""Detectors in ONNX files, computed by OpenCV: those of the YOLO kind, and YuNet's for faces."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.contracts.errors import BrokenModel
from modules.detectors.base import Find, Pixels, Region, Wish, boxed
from modules.detectors.onnx_header import OnnxHeader, read_onnx_header

SIDE = 640
"""What YOLO networks look at where their file leaves it open."""
OVERLAP = 0.5
"""Intersection by union from which two boxes are the same find."""
GREY = 114
"""What YOLO networks were trained to see round a picture that is no square."""
COEFFICIENTS = 32
"""Numbers of a find from which YOLO's segmenting networks make its shape."""
Table = NDArray[np.float32]


def load_yolo(path: Path) -> Find:
    """A detector that gives boxes, or shapes where the network segments (Ultralytics' YOLOv8 and v11 as ONNX).

    The file says its classes in its metadata, as `yolo export` writes them; without, classes are called by number.
    Raises `BrokenModel`. OpenCV's networks keep the state of a call, so calls take turns.
    """
    header, network, turn = read_onnx_header(path), _open(path, cv2.dnn.readNetFromONNX), threading.Lock()
    names = _names(header)
    side = next((number for number in header.input[-2:] if number > 0), SIDE)

    def find(image: Pixels, wish: Wish) -> list[Region]:
        seen, scale, corner = _letterbox(image, side)
        with turn:
            network.setInput(seen)
            outputs = [np.asarray(one) for one in network.forward(network.getUnconnectedOutLayersNames())]
        return _read(path, outputs, _View(image.shape[:2], side, scale, corner), names, wish)

    return find


class _View:
    """How a picture lies in the square that a network looks at."""

    def __init__(self, shape: Sequence[int], side: int, scale: float, corner: tuple[int, int]) -> None:
        self.height, self.width = shape
        self.side, self.scale, self.corner = side, scale, corner

    def box_of(self, row: Table) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in the picture of a row that begins with middle and size in the square."""
        x, y, width, height = (float(value) for value in row[:4])
        left, top = self.corner
        return (
            (x - width / 2 - left) / self.scale,
            (y - height / 2 - top) / self.scale,
            (x + width / 2 - left) / self.scale,
            (y + height / 2 - top) / self.scale,
        )

    def shape_of(self, logits: Table) -> NDArray[np.bool_]:
        """What in the picture is inside, from a map of the square at any resolution."""
        large = cv2.resize(logits, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        left, top = self.corner
        wide, high = round(self.width * self.scale), round(self.height * self.scale)
        cut = large[top : top + high, left : left + wide]
        inside: NDArray[np.bool_] = cv2.resize(cut, (self.width, self.height), interpolation=cv2.INTER_LINEAR) > 0
        return inside


def _letterbox(image: Pixels, side: int) -> tuple[Table, float, tuple[int, int]]:
    """The picture in the middle of a grey square, (1, 3, side, side) in [0, 1]; its scale and its corner there."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    small = Image.fromarray(image).resize((max(round(width * scale), 1), max(round(height * scale), 1)))
    left, top = (side - small.width) // 2, (side - small.height) // 2
    square = np.full((side, side, 3), GREY, np.uint8)
    square[top : top + small.height, left : left + small.width] = np.asarray(small)
    return np.asarray(square.transpose(2, 0, 1)[None] / 255, np.float32), scale, (left, top)


def _read(path: Path, outputs: Sequence[Any], view: _View, names: Mapping[int, str], wish: Wish) -> list[Region]:
    """Finds from a table (1, 4 + classes, places), and for segmenting networks a second output (1, 32, h, w)."""
    table = next((one for one in outputs if one.ndim == 3), None)
    if table is None or table.shape[1] < 5:
        shapes = ", ".join(str(tuple(one.shape)) for one in outputs)
        raise BrokenModel(f"{path.name} gives {shapes}; a YOLO detector gives (1, 4 + classes, places).")
    masks = next((one[0] for one in outputs if one.ndim == 4), None)
    rows: Table = table[0].T
    classes = rows.shape[1] - 4 - (COEFFICIENTS if masks is not None else 0)
    scores = rows[:, 4 : 4 + classes]
    best, numbers = scores.max(axis=1), scores.argmax(axis=1)
    wanted = [_wanted(names.get(number, str(number)), number, wish) for number in range(classes)]
    sure = np.flatnonzero((best >= max(wish.confidence, 1e-6)) & np.array(wanted)[numbers])
    boxes = {int(place): view.box_of(rows[place]) for place in sure}
    found = []
    for place in _without_doubles(boxes, best, numbers):
        label = names.get(int(numbers[place]), str(numbers[place]))
        region = boxed((view.width, view.height), boxes[place], best[place], label)
        if region is not None and masks is not None:
            shape = view.shape_of(np.tensordot(rows[place, 4 + classes :], masks, axes=1).astype(np.float32))
            region = Region(region.shape * shape, region.score, label)
        if region is not None and region.shape.any():
            found.append(region)
    return found


def _without_doubles(boxes: Mapping[int, tuple[float, ...]], scores: Table, numbers: NDArray[np.int64]) -> list[int]:
    """The surest of each heap of boxes of one class (greedy non-maximum suppression), surest first."""
    kept: list[int] = []
    for place in sorted(boxes, key=lambda each: (-float(scores[each]), each)):
        same = (one for one in kept if numbers[one] == numbers[place])
        if all(_shared(boxes[one], boxes[place]) < OVERLAP for one in same):
            kept.append(place)
    return kept


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection by union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / (areas - wide * high)


def _wanted(name: str, number: int, wish: Wish) -> bool:
    return not wish.classes or name.casefold() in wish.classes or str(number) in wish.classes


def _names(header: OnnxHeader) -> dict[int, str]:
    """Classes by number, as Ultralytics writes them: a Python dict as text."""
    try:
        said = ast.literal_eval(header.metadata.get("names", "{}"))
    except (ValueError, SyntaxError):
        return {}
    return {int(number): str(name) for number, name in said.items()} if isinstance(said, dict) else {}


def load_yunet(path: Path) -> Find:
    """OpenCV's detector of faces (Wu et al., YuNet, 2023). Raises `BrokenModel`."""
    network, turn = _open(path, lambda name: cv2.FaceDetectorYN.create(name, "", (320, 320))), threading.Lock()

    def find(image: Pixels, wish: Wish) -> list[Region]:
        height, width = image.shape[:2]
        with turn:
            network.setInputSize((width, height))
            network.setScoreThreshold(wish.confidence)
            _, rows = network.detect(np.ascontiguousarray(image[..., ::-1]))
        regions = (_face((width, height), row) for row in (() if rows is None else rows))
        return [region for region in regions if region is not None and _wanted("face", 0, wish)]

    return find


def _face(size: tuple[int, int], row: Table) -> Region | None:
    """YuNet's row: left, top, width, height, five points from the eye that is on the left, score."""
    region = boxed(size, (row[0], row[1], row[0] + row[2], row[1] + row[3]), row[-1], "face")
    points = tuple((float(x), float(y)) for x, y in row[4:14].reshape(5, 2))
    return None if region is None else replace(region, points=points)


def _open(path: Path, opening: Callable[[str], Any]) -> Any:
    try:
        return opening(str(path))
    except cv2.error as error:
        raise BrokenModel(f"{path.name} cannot be read by OpenCV: {str(error).splitlines()[0]:.200}") from error
