"""What a safetensors file says about itself, read with the standard library and believed only after checking.

The format: eight bytes with the length of the header (little endian), the header as JSON, then the data. See
https://github.com/huggingface/safetensors#format. Nothing of the data is read here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel

MAX_HEADER_BYTES = 100_000_000
"""The limit that the format itself sets."""
MAX_AXES = 16
INDEX = "model_index.json"
"""Names the parts of a diffusers folder, and the pipeline that they are for."""
SIDECAR = ".config"
"""Ending of the folder beside a single file that holds its configs, its tokenizers and what else it lacks."""
DTYPE_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
PICKLE_ADVICE = "Pickled files can run code and are never opened here; convert it with: python launch.py models convert"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it: type, shape, and where its bytes begin and end in the data part."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Header:
    """The checked header of one file, or of several shards taken together."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    """The files that hold the data, in order; one unless the model is sharded."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name."""
        return {name: info.shape for name, info in self.tensors.items()}

    @property
    def dtype(self) -> str | None:
        """The type that most of the bytes have."""
        weight: dict[str, int] = {}
        for info in self.tensors.values():
            weight[info.dtype] = weight.get(info.dtype, 0) + info.stop - info.start
        return max(weight, key=lambda name: weight[name]) if weight else None


def read_header(path: Path) -> Header:
    """Read and check the header of one file.

    Raises `BrokenModel` when the file is not safetensors, is cut off (with the number of missing bytes), or when its
    header contradicts itself; `OSError` when it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        reason = _foreign(start + stream.read(56), path)
        if reason:
            raise BrokenModel(reason)
        if size < 8:
            raise BrokenModel(f"{path.name} has {size} bytes, a safetensors file has at least 8.")
        length = int.from_bytes(start, "little")
        if length > MAX_HEADER_BYTES:
            raise BrokenModel(
                f"{path.name} is no safetensors file: it announces a header of {length} bytes, "
                f"at most {MAX_HEADER_BYTES} are allowed."
            )
        if 8 + length > size:
            raise BrokenModel(f"{path.name} is cut off inside its header: {8 + length - size} bytes are missing.")
        stream.seek(8)
        raw = stream.read(length)
    return _check(path, raw, size - 8 - length)


def _foreign(start: bytes, path: Path) -> str | None:
    """What the file is when it is plainly something else than safetensors."""
    name = path.name
    if start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        return f"{name} is a pickled checkpoint. {PICKLE_ADVICE} {name}"
    if start.startswith(b"GGUF"):
        return f"{name} is a GGUF file; the studio reads safetensors files and diffusers folders."
    if start.startswith(b"version https://git-lfs"):
        return f"{name} is only the pointer of a Git LFS file; the weights themselves have not been downloaded."
    if start.lstrip()[:1] == b"<":
        return f"{name} is a web page, not a model; the download went wrong."
    return None


def _check(path: Path, raw: bytes, data: int) -> Header:
    name = path.name
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BrokenModel(f"{name} is no safetensors file: its header is not proper JSON ({error}).") from error
    if not isinstance(content, dict):
        raise BrokenModel(f"{name} is no safetensors file: its header is a {type(content).__name__}, not an object.")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BrokenModel(f"{name} has metadata that is not text.")
    tensors = {key: _tensor(name, key, value) for key, value in content.items()}
    _check_extent(name, tensors, data)
    return Header(tensors, metadata, (path,))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _tensor(file: str, name: str, value: Any) -> TensorInfo:
    try:
        dtype, shape, (start, stop) = value["dtype"], value["shape"], value["data_offsets"]
        numbers = [*shape, start, stop]
    except (TypeError, KeyError, ValueError) as error:
        raise BrokenModel(f"{file} describes the tensor {name!r} without type, shape or place.") from error
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise BrokenModel(f"{file} has a tensor {name!r} of the unknown type {dtype!r}.")
    if len(shape) > MAX_AXES or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise BrokenModel(f"{file} has a tensor {name!r} with an impossible shape or place.")
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if stop - start != -(-bits // 8):
        raise BrokenModel(
            f"{file} gives {stop - start} bytes to the tensor {name!r}, {dtype} {shape} needs {bits // 8}."
        )
    return TensorInfo(dtype, tuple(shape), start, stop)


def _check_extent(file: str, tensors: Mapping[str, TensorInfo], data: int) -> None:
    """The tensors have to lie one after the other and fill the data part exactly."""
    end = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if info.start != end:
            fault = "overlaps the one before it" if info.start < end else "leaves a gap before it"
            raise BrokenModel(f"{file} is inconsistent: the tensor {name!r} {fault}.")
        end = info.stop
    if end > data:
        raise BrokenModel(f"{file} is cut off: {end - data} of {end} bytes of data are missing.")
    if end < data:
        raise BrokenModel(f"{file} has {data - end} bytes more than its header describes.")


def read_index(path: Path) -> Header:
    """Read the index of a sharded model (`*.safetensors.index.json`) and the headers of all its shards.

    Raises `BrokenModel` when a shard is missing or broken, lacks a tensor the index promises, or lies elsewhere than
    beside the index.
    """
    places = read_json(path).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(value, str) for value in places.values()):
        raise BrokenModel(f"{path.name} has no list of tensors and the shards that hold them.")
    shards: dict[str, Header] = {}
    for shard in sorted(set(places.values())):
        if shard in ("", ".", "..") or "/" in shard or "\\" in shard or "\0" in shard or ":" in shard:
            raise BrokenModel(f"{path.name} names the shard {shard!r}; shards have to lie beside the index.")
        if not (path.parent / shard).is_file():
            raise BrokenModel(f"{path.name} names the shard {shard}, which is not there.")
        shards[shard] = read_header(path.parent / shard)
    tensors: dict[str, TensorInfo] = {}
    for name, shard in places.items():
        if name not in shards[shard].tensors:
            raise BrokenModel(f"The shard {shard} lacks the tensor {name!r} that {path.name} says it holds.")
        tensors[name] = shards[shard].tensors[name]
    metadata = {key: value for header in shards.values() for key, value in header.metadata.items()}
    return Header(tensors, metadata, tuple(path.parent / shard for shard in shards))


MAX_JSON_BYTES = 64_000_000


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file; `BrokenModel` when it is not one."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise BrokenModel(f"{path.name} is larger than {MAX_JSON_BYTES} bytes.")
        content = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BrokenModel(f"{path.name} is not proper JSON ({error}).") from error
    if not isinstance(content, dict):
        raise BrokenModel(f"{path.name} is a {type(content).__name__}, not an object.")
    return content
