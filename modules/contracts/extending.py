"""What scripts and extensions bring to grids, to the page and to addresses of their own, as the fronts see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class AxisEntry:
    """Something that scripts are told and that may vary from cell to cell of a grid."""

    script: str
    """The script's title."""
    name: str
    """The parameter's name."""
    label: str
    always_on: bool
    """Otherwise the script has to own the run of the request that varies."""
    type: Literal["int", "float", "bool", "str"]
    cost: float = 0.0
    """How dear a change is, as of `modules.contracts.experiments.Axis`."""
    choices: tuple[str, ...] | None = None
    help: str = ""
    reads_text: bool = False
    """A text of several values is the script's own to take apart."""
    form: Literal["value", "all", "words"] = "value"
    """How the script is told of a cell: its value; a list of it and then all values of the axis; or, of a text with
    commas, the list of its words."""


@dataclass(frozen=True, slots=True)
class AxisValues:
    """Values of an axis as a script has checked them."""

    values: tuple[Any, ...]
    """Words, numbers or booleans."""
    captions: tuple[str, ...] = ()
    """What a sheet says of each; empty where it is what it says of every value."""


@dataclass(frozen=True, slots=True)
class WebCall:
    """A call of an address, as it came."""

    method: str
    path: str
    """With its first slash, seen from the studio."""
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What is answered, whole. Names of headers are in small letters."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RoomEntry:
    """A room of an extension on the page."""

    extension: str
    name: str
    title: str
    build: Callable[[Callable[[Any], None]], str]
    """Makes it in Gradio's current layout; what went wrong as a sentence, or nothing."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """Something that an extension brings to the page."""

    extension: str
    path: str
    """Seen from the extension's folder."""
    kind: Literal["script", "style", "words"]
    media_type: str
    mark: str
    """Changes with the bytes."""
    language: str = ""
    """Of `words`, in small letters: `de` or `pt-br`."""
