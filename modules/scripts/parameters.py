"""Typed parameters of scripts. Each is declared once, as an attribute of the class; page, API and grid read it.

A value comes from a client, so `read` takes anything and gives the parameter's own type or raises `InvalidRequest`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from modules.contracts.errors import InvalidRequest
from modules.contracts.extending import AxisEntry, AxisValues
from modules.contracts.scripts import GivenValue
from modules.support.word_lists import read_words, write_words

if TYPE_CHECKING:
    from modules.contracts.request import GenerationRequest

LONGEST = 100_000
"""Characters of a text."""


@dataclass(eq=False)
class Parameter(ABC):
    """What all kinds have. `name` is that of the attribute."""

    hidden: ClassVar[bool] = False
    """It has its place over the API and is not on the page."""
    silent: ClassVar[bool] = False
    """Infotext does not tell its value by itself."""
    varies: ClassVar[Literal["int", "float", "bool", "str", ""]] = "str"
    """What the values of a grid's axis are; empty for a parameter that is none."""

    label: str
    default: Any = None
    help: str = ""
    name: str = ""
    cost: float = field(default=0.0, kw_only=True)
    """How dear a change is to a grid, from 0 to 1: 1 loads another model, so it is to happen least."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Called by Python when the class is made."""
        self.name = name

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The value in the parameter's own type. Raises `ValueError` saying what is allowed."""

    def axis(self, title: str, mode: str, *, always_on: bool) -> AxisEntry | None:
        """Itself as an axis of a grid in `txt2img` or `img2img`; None where it is none."""
        if self.hidden or not self.varies:
            return None
        words = self.bounds.get("choices")
        choices = None if words is None else tuple(words)
        label = f"{title}: {self.label}"
        return AxisEntry(title, self.name, label, always_on, self.varies, self.cost, choices, self.help)

    def vary(self, given: str | Sequence[Any], request: GenerationRequest | None) -> AxisValues:
        """The values of such an axis, checked. `request` is what varies, where it is known. Raises `ValueError`."""
        return AxisValues(tuple(map(self.read, given)))

    @property
    def bounds(self) -> Mapping[str, Any]:
        """`minimum`, `maximum`, `step` and `choices`, as far as there are any."""
        return {}

    @property
    def kind(self) -> str:
        """`number`, `choice`, `choices`, `text`, `toggle` or `picture`."""
        return type(self).__name__.lower()


@dataclass(eq=False)
class Number(Parameter):
    """A number. Whole where `default` is an `int`; bounds are inclusive, None is unbounded."""

    default: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None

    def read(self, value: Any) -> float:
        """A finite number within the bounds."""
        allowed = f"a {'whole ' if isinstance(self.default, int) else ''}number{self._span()} is needed"
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(allowed)
        if isinstance(self.default, int):
            if value != int(value):
                raise ValueError(allowed)
            value = int(value)
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise ValueError(allowed)
        return value if isinstance(self.default, int) else float(value)

    def axis(self, title: str, mode: str, *, always_on: bool) -> AxisEntry | None:
        """Whole numbers where the default is one."""
        entry = super().axis(title, mode, always_on=always_on)
        return replace(entry, type="int" if isinstance(self.default, int) else "float") if entry else None

    def _span(self) -> str:
        low = "" if self.minimum is None else f" from {self.minimum:g}"
        return low + ("" if self.maximum is None else f" up to {self.maximum:g}")

    @property
    def bounds(self) -> Mapping[str, Any]:
        """Bounds and granularity."""
        return {"minimum": self.minimum, "maximum": self.maximum, "step": self.step}


@dataclass(eq=False)
class Choice(Parameter):
    """One of several words. A client may also give its place among them, as A1111's do."""

    default: str = ""
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """The first choice is the default where none is named."""
        self.choices = tuple(self.choices)
        if not self.choices or any(not isinstance(word, str) for word in self.choices):
            raise ValueError(f"{self.label}: a choice needs a tuple of words")
        self.default = self.default or self.choices[0]

    def read(self, value: Any) -> str:
        """One of the choices."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(self.choices):
            return self.choices[value]
        found = next(
            (word for word in self.choices if isinstance(value, str) and word.casefold() == value.casefold()), ""
        )
        if not found and value not in self.choices:
            raise ValueError(f"allowed are {', '.join(self.choices)}")
        return found

    @property
    def bounds(self) -> Mapping[str, Any]:
        """The words."""
        return {"choices": list(self.choices)}


@dataclass(eq=False)
class Choices(Parameter):
    """Any number of several words; they come in the order of `choices`, whatever the order in which they were given."""

    default: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A list may be given for a tuple."""
        self.default, self.choices = tuple(self.default), tuple(self.choices)
        if not self.choices or any(not isinstance(word, str) for word in self.choices):
            raise ValueError(f"{self.label}: choices need a tuple of words")

    def read(self, value: Any) -> tuple[str, ...]:
        """Those of the choices that are in a list of words."""
        known = {word.casefold(): word for word in self.choices}
        words: Any = value if isinstance(value, list | tuple) else [None]
        if any(not isinstance(word, str) or word.casefold() not in known for word in words):
            raise ValueError(f"a list is needed of any of {', '.join(self.choices)}")
        wanted = {word.casefold() for word in words}
        return tuple(word for key, word in known.items() if key in wanted)

    def axis(self, title: str, mode: str, *, always_on: bool) -> AxisEntry | None:
        """Its values are texts with commas, each of which says several words."""
        entry = super().axis(title, mode, always_on=always_on)
        return replace(entry, form="words") if entry else None

    def vary(self, given: str | Sequence[Any], request: GenerationRequest | None) -> AxisValues:
        """Such texts, with the words in the order of the choices."""
        return AxisValues(tuple(write_words(self.read(_split(value))) for value in given))

    @property
    def bounds(self) -> Mapping[str, Any]:
        """The words."""
        return {"choices": list(self.choices)}


@dataclass(eq=False)
class Text(Parameter):
    """Words, over `lines` lines on the page."""

    default: str = ""
    lines: int = 1

    def read(self, value: Any) -> str:
        """A text."""
        if not isinstance(value, str) or len(value) > LONGEST:
            raise ValueError(f"a text of up to {LONGEST} characters is needed")
        return value


@dataclass(eq=False)
class Toggle(Parameter):
    """On or off."""

    varies = "bool"
    default: bool = False

    def read(self, value: Any) -> bool:
        """True or false."""
        if not isinstance(value, bool):
            raise ValueError("true or false is needed")
        return value


@dataclass(eq=False)
class Picture(Parameter):
    """A picture, as encoded bytes (PNG, JPEG, WebP …); empty where none was given."""

    varies = ""
    default: bytes = b""

    def read(self, value: Any) -> bytes:
        """Encoded bytes."""
        if not isinstance(value, bytes):
            raise ValueError("a picture is needed")
        return value


def unseen(item: Parameter) -> Parameter:
    """The same parameter, hidden."""
    vars(item)["hidden"] = True
    return item


def _split(value: Any) -> list[Any]:
    """The words of a text with commas, in quotes where they hold one."""
    if not isinstance(value, str) or len(value) > LONGEST:
        return [None]
    try:
        return list(read_words(value))
    except ValueError:
        return [None]


def declared(owner: type) -> tuple[Parameter, ...]:
    """The parameters of a class, those of its bases first, in order of declaration."""
    found: dict[str, Parameter] = {}
    for base in reversed(owner.__mro__):
        for name, item in vars(base).items():
            if isinstance(item, Parameter):
                found[name] = item
            else:
                found.pop(name, None)
    return tuple(found.values())


def read_values(title: str, parameters: Iterable[Parameter], given: Iterable[GivenValue]) -> dict[str, Any]:
    """All values by name, defaults where nothing was given. Raises `InvalidRequest` naming script and parameter."""
    known = {item.name: item for item in parameters}
    values = {name: item.default for name, item in known.items()}
    for one in given:
        item = known.get(one.name)
        if item is None:
            there = ", ".join(known) or "none"
            raise InvalidRequest(f"{title} has no parameter '{one.name:.60}'; there are: {there}.")
        value = one.picture if isinstance(item, Picture) and one.value is None else one.value
        try:
            values[one.name] = item.read(value)
        except ValueError as error:
            raise InvalidRequest(f"{title}: {item.label} is {value!r:.60}; {error}.") from error
    return values
