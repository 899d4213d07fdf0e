"""Frozen dataclasses to JSON values and back, so that a job can be stored and a recipe written.

Bytes become `{"$bytes": base64}`; tuples become lists and come back as tuples; an unknown key is an error, because
a stored job of another version must not be guessed at silently.
"""

from __future__ import annotations

import base64
import types
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
BYTES = "$bytes"
"""The one key of an object that stands for bytes."""


def encode(value: Any) -> Any:
    """The JSON form of a dataclass, or of a value that one may hold. Raises `TypeError` for anything else."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: encode(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be stored")


def decode(kind: type[T], data: Any) -> T:
    """Build `kind` from its JSON form. Missing keys take their defaults; unknown ones raise `ValueError`."""
    decoded: T = _decode(kind, data)
    return decoded


def _decode(kind: Any, data: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        inner = [option for option in get_args(kind) if option is not type(None)]
        return _decode(inner[0], data)
    if origin is tuple:
        return tuple(_decode(get_args(kind)[0], item) for item in data)
    if kind is bytes:
        return base64.b64decode(data[BYTES])
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        unknown = set(data) - set(hints)
        if unknown:
            raise ValueError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
        return kind(**{key: _decode(hints[key], item) for key, item in data.items()})
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    return data
