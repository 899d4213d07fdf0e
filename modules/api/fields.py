"""Fields of the `/sdapi/v1` bodies, made from the declarations, so that no parameter is written twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import Declared
from modules.contracts.request import parameters

LATER = (
    *("handover", "attention", "features", "refiner", "tone", "reach"),
    *("style", "cache", "regions", "detailer", "tiles", "film", "faces"),
)
"""Groups that both routes fill."""
GROUPS_OF = {
    "txt2img": ("prompt", "canvas", "seeds", "sampling", "guidance", "hires", "model", "output", *LATER),
    "img2img": (
        "prompt",
        "canvas",
        "seeds",
        "sampling",
        "guidance",
        "image",
        "inpaint",
        "model",
        "output",
        *LATER,
        "upscale",
        "outpaint",
    ),
}
"""Which groups of the request each route fills."""


def _whole(value: Any) -> Any:
    """Clients send 20.0 or "20" where a whole number is meant; a fraction is cut off, as A1111 does."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError("a finite number is needed")
        return int(value)
    return value


def _words(value: Any) -> Any:
    """Lists of words: one word alone is a list of one."""
    return [value] if isinstance(value, str) else value


def sound_text(value: Any) -> Any:
    """The JSON value as it is. Raises `ValueError` when a text in it is no Unicode: JSON can spell half a character."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, str) and not item.isascii() and any("\ud800" <= mark <= "\udfff" for mark in item):
            raise ValueError("a text holds half a character (a lone surrogate)")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Words = Annotated[list[str], BeforeValidator(_words)]
KINDS: dict[str, Any] = {"int": Whole, "float": float, "bool": bool, "str": str, "tuple[str, ...]": Words}


@dataclass(frozen=True, slots=True)
class LegacyField:
    """One declared parameter as a field of a JSON body."""

    declared: Declared

    @property
    def words(self) -> tuple[str, ...]:
        """The lawful words of a field that clients fill with the index of a word; else empty."""
        choices = self.declared.param.choices
        return choices if isinstance(choices, tuple) else ()

    @property
    def indexed(self) -> bool:
        """Clients send the number of a word."""
        return bool(self.words) and self.declared.param.legacy is not None

    @property
    def kind(self) -> Any:
        """The type in the body, without null."""
        if self.indexed:
            return Whole | str
        return KINDS[self.declared.annotation.removesuffix(" | None")]

    @property
    def default(self) -> Any:
        """The value that the body shows when the client says nothing."""
        declared = self.declared
        if declared.path == ("hires", "denoising_strength"):
            return None  # A1111's own; the declared default applies when it stays so
        if declared.param.override is not None:
            return None  # the override or the setting applies
        if declared.param.legacy_default is not None:
            return declared.param.legacy_default
        if self.indexed:
            return self.words.index(declared.default)
        return list(declared.default) if isinstance(declared.default, tuple) else declared.default

    def definition(self) -> tuple[Any, Any]:
        """Type and `Field` for pydantic. Bounds are described here and checked once, by `contracts.validation`."""
        param = self.declared.param
        schema = {"minimum": param.minimum, "maximum": param.maximum}
        text = ". ".join(part.rstrip(".") for part in (param.label, param.help) if part)
        if self.indexed:
            text += ": " + ", ".join(f"{number} {word}" for number, word in enumerate(self.words))
        extra: Any = {key: value for key, value in schema.items() if value is not None}
        return (self.kind | None, Field(self.default, description=text, json_schema_extra=extra or None))

    def convert(self, value: Any) -> Any:
        """A value of the body in the request's own type. Raises `InvalidRequest` for an index that names no word."""
        if isinstance(value, list):
            return tuple(value)
        if not self.indexed:
            return value
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, int):
            if 0 <= number < len(self.words):
                return self.words[number]
            known = ", ".join(f"{index} ({word})" for index, word in enumerate(self.words))
            raise InvalidRequest(f"{self.declared.param.legacy} is {number}; allowed are {known}.")
        return number

    def coerce(self, value: Any, name: str) -> Any:
        """A value that was not checked with the body, e.g. out of `override_settings`."""
        try:
            return TypeAdapter(self.kind).validate_python(value)
        except ValidationError as error:
            wanted = self.declared.annotation.removesuffix(" | None")
            raise InvalidRequest(f"{name} is {value!r}; a value of type {wanted} is needed.") from error


def complaint_of(error: ValidationError) -> str:
    """The first thing that is wrong with a body, by its place, without repeating what was sent."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}."


def fields_of(mode: str) -> Iterator[LegacyField]:
    """The declared parameters that a body of `mode` (`txt2img`, `img2img`) can set, by a field or an override."""
    groups = GROUPS_OF[mode]
    for item in parameters():
        if item.path[0] in groups and (item.param.legacy or item.param.override):
            yield LegacyField(item)


def definitions(mode: str) -> dict[str, Any]:
    """Field definitions for `pydantic.create_model`, by legacy name."""
    return {item.declared.param.legacy: item.definition() for item in fields_of(mode) if item.declared.param.legacy}
