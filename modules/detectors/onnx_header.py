"""What an ONNX file says of itself: input, outputs and metadata, read without the onnx package.

The format is Protocol Buffers (onnx.proto3 in the ONNX project); only the few fields that are asked for are looked at,
and weights are skipped, not read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modules.contracts.errors import BrokenModel

GRAPH, METADATA = 7, 14
"""Fields of a model."""
INPUT, OUTPUT = 11, 12
"""Fields of a graph."""
MOST_BYTES = 1 << 30
"""Larger files are no detectors."""
Piece = tuple[int, int | memoryview]


@dataclass(frozen=True, slots=True)
class OnnxHeader:
    """Facts of a network in a file."""

    input: tuple[int, ...] = ()
    """Sides of the first input; 0 where one is left open."""
    outputs: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


def read_onnx_header(path: Path) -> OnnxHeader:
    """The facts of the file. Raises `BrokenModel` for what is no ONNX file; `OSError` where it cannot be read."""
    if path.stat().st_size > MOST_BYTES:
        raise BrokenModel(f"{path.name} is larger than 1 GiB, which no detector is.")
    try:
        return _read(memoryview(path.read_bytes()))
    except (IndexError, ValueError, struct.error) as error:
        raise BrokenModel(f"{path.name} is no ONNX file.") from error


def _read(data: memoryview) -> OnnxHeader:
    metadata, graph = {}, None
    for number, value in _pieces(data):
        if number == METADATA and isinstance(value, memoryview):
            entry = {key: _text(item) for key, item in _pieces(value)}
            metadata[entry.get(1, "")] = entry.get(2, "")
        if number == GRAPH and isinstance(value, memoryview):
            graph = value
    if graph is None:
        raise ValueError("there is no graph")
    inputs = [value for number, value in _pieces(graph) if number == INPUT and isinstance(value, memoryview)]
    outputs = [value for number, value in _pieces(graph) if number == OUTPUT and isinstance(value, memoryview)]
    sides = _sides(inputs[0]) if inputs else ()
    return OnnxHeader(sides, tuple(_text(_within(one, 1)) for one in outputs), metadata)


def _sides(value: memoryview) -> tuple[int, ...]:
    """Of a value's type, the tensor's shape: ValueInfo.type.tensor_type.shape.dim[].dim_value."""
    shape = _within(_within(_within(value, 2), 1), 2)
    return tuple(
        next((side for number, side in _pieces(one) if number == 1 and isinstance(side, int)), 0)
        for number, one in _pieces(shape)
        if number == 1 and isinstance(one, memoryview)
    )


def _within(data: memoryview, wanted: int) -> memoryview:
    found = (value for number, value in _pieces(data) if number == wanted and isinstance(value, memoryview))
    return next(found, memoryview(b""))


def _text(value: int | memoryview) -> str:
    return bytes(value).decode("utf-8") if isinstance(value, memoryview) else str(value)


def _pieces(data: memoryview) -> Iterator[Piece]:
    """Number and value of each field of a message."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        length, place = (8, place) if kind == 1 else (4, place) if kind == 5 else _varint(data, place)
        if kind not in (1, 2, 5) or place + length > len(data):
            raise ValueError("a field is cut off, or of a kind that there is not")
        yield tag >> 3, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number is too long")
