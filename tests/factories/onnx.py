"""Small ONNX networks written by hand: the package onnx is not needed to read one, so neither to write one."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FLOAT, INT64 = 1, 7


def _varint(value: int) -> bytes:
    found = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a message: a number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def tensor(name: str, values: Any) -> bytes:
    """A named constant of fp32, or of int64 where it holds whole numbers."""
    array = np.asarray(values)
    whole = array.dtype.kind == "i"
    raw = array.astype("<i8" if whole else "<f4").tobytes()
    sides = b"".join(field(1, side) for side in array.shape)
    return sides + field(2, INT64 if whole else FLOAT) + field(8, name) + field(9, raw)


def value(name: str, sides: Sequence[int]) -> bytes:
    """An input or output of fp32."""
    shape = b"".join(field(1, field(1, side)) for side in sides)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Sequence[int] | float) -> bytes:
    """One operation. Attributes are lists of whole numbers, or one float."""
    found = b"".join(field(1, one) for one in inputs) + field(2, output) + field(3, output) + field(4, kind)
    for name, given in attributes.items():
        if isinstance(given, float):
            made = field(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", given) + field(20, 1)
        else:
            made = field(1, name) + b"".join(field(8, number) for number in given) + field(20, 7)
        found += field(5, made)
    return found


def write_network(
    path: Path,
    nodes: Sequence[bytes],
    constants: Sequence[bytes],
    image: Sequence[int],
    outputs: Mapping[str, Sequence[int]],
    metadata: Mapping[str, str],
) -> Path:
    """An ONNX file with one input, `images`."""
    graph = b"".join(field(1, one) for one in nodes) + field(2, "graph")
    graph += b"".join(field(5, one) for one in constants) + field(11, value("images", image))
    graph += b"".join(field(12, value(name, sides)) for name, sides in outputs.items())
    model = field(1, 8) + field(8, field(1, "") + field(2, 13)) + field(7, graph)
    model += b"".join(field(14, field(1, key) + field(2, text)) for key, text in metadata.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model)
    return path


def write_yolo(path: Path, side: int = 64, cell: int = 16, shaped: bool = False) -> Path:
    """A network of YOLO's form that finds red things and blue things, a cell of `cell` pixels at a time.

    How sure it is of red is the mean of red less that of green and blue. With `shaped` it segments: the shape of each
    find is the upper half of the square.
    """
    count = side // cell
    places, extra = count * count, 32 if shaped else 0
    looks = np.zeros((6 + extra, 3, cell, cell), np.float32)
    looks[4] = np.array([1, -0.5, -0.5], np.float32)[:, None, None] / cell**2
    looks[5] = np.array([-0.5, -0.5, 1], np.float32)[:, None, None] / cell**2
    boxes = np.zeros((1, 6 + extra, places), np.float32)
    middles = (np.arange(count) + 0.5) * cell
    boxes[0, 0], boxes[0, 1] = np.tile(middles, count), np.repeat(middles, count)
    boxes[0, 2:4] = cell
    if shaped:
        boxes[0, 6] = 1.0
    constants = [tensor("looks", looks), tensor("sides", [1, 6 + extra, places]), tensor("boxes", boxes)]
    nodes = [
        node("Conv", ["images", "looks"], "seen", kernel_shape=[cell, cell], strides=[cell, cell]),
        node("Reshape", ["seen", "sides"], "rows"),
        node("Add", ["rows", "boxes"], "output0"),
    ]
    outputs: dict[str, Sequence[int]] = {"output0": (1, 6 + extra, places)}
    if shaped:
        shape = np.zeros((1, 32, count, count), np.float32)
        shape[0, 0] = -1
        shape[0, 0, : count // 2] = 1
        constants += [tensor("nought", np.zeros((32, 3, cell, cell), np.float32)), tensor("shape", shape)]
        nodes += [
            node("Conv", ["images", "nought"], "flat", kernel_shape=[cell, cell], strides=[cell, cell]),
            node("Add", ["flat", "shape"], "output1"),
        ]
        outputs["output1"] = (1, 32, count, count)
    names = str({0: "red thing", 1: "blue thing"})
    return write_network(path, nodes, constants, (1, 3, side, side), outputs, {"names": names, "task": "detect"})


def write_dwpose(path: Path, points: Mapping[int, tuple[float, float]]) -> Path:
    """A network of DWPose's form that sees those of the 133 keypoints, in shares of what it is shown, in red pictures:
    it is as sure as the mean of the first channel, and 1 more."""
    sides, constants, nodes = (288, 384), [], []
    constants += [tensor("looks", np.repeat(np.array([1.0, 0, 0], np.float32)[None], 133, 0).reshape(133, 3, 1, 1))]
    constants += [tensor("shape", [1, 133, 1])]
    nodes += [
        node("GlobalAveragePool", ["images"], "mean"),
        node("Conv", ["mean", "looks"], "red", kernel_shape=[1, 1], strides=[1, 1]),
        node("Reshape", ["red", "shape"], "sure"),
    ]
    outputs: dict[str, Sequence[int]] = {}
    for axis, name in enumerate(("simcc_x", "simcc_y")):
        rows = np.full((1, 133, sides[axis] * 2), -9.0, np.float32)
        for number, place in points.items():
            rows[0, number, round(place[axis] * (sides[axis] * 2))] = 1.0
        constants.append(tensor(f"{name}_rows", rows))
        nodes.append(node("Add", [f"{name}_rows", "sure"], name))
        outputs[name] = rows.shape
    return write_network(path, nodes, constants, (1, 3, sides[1], sides[0]), outputs, {})
