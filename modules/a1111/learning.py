"""Turns what `ui()` gives into parameters, in its order, and their values into what the script's methods get."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from modules.a1111 import components as gr
from modules.scripts.parameters import Choice, Number, Parameter, Picture, Text, Toggle


@dataclass(eq=False)
class Several(Text):
    """Some of several words: a list, or a text with commas."""

    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """On the page it is a text."""
        return "text"

    def read(self, value: Any) -> Any:
        """The words with commas."""
        words = value if isinstance(value, list) else super().read(value).split(",")
        found = [str(word).strip() for word in words if str(word).strip()]
        wrong = [word for word in found if self.choices and word not in self.choices]
        if wrong:
            raise ValueError(f"allowed are {', '.join(self.choices)}")
        return ", ".join(found)


@dataclass(eq=False)
class Kept(Text):
    """A value that no person gives, such as a state or a button: over the API it has its place and takes anything."""

    hidden: ClassVar[bool] = True

    @property
    def kind(self) -> str:
        """It is not on the page; lists call it a text."""
        return "text"

    def read(self, value: Any) -> Any:
        """Whatever was given."""
        return value


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of a script."""

    parameter: Parameter
    convert: Callable[[Any], Any]
    """Its value as the script gets it."""


def learn(found: Any) -> list[Argument]:
    """The inputs that `ui()` gave. Raises `ValueError` for what is none."""
    rows: Iterable[Any] = () if found is None else found if isinstance(found, list | tuple) else (found,)
    arguments: list[Argument] = []
    for number, one in enumerate(rows):
        if not isinstance(one, gr.Component):
            raise ValueError(f"ui() gave {type(one).__name__} at place {number}, which is no input")
        argument = _argument(one)
        taken = {each.parameter.name for each in arguments}
        name = re.sub(r"[^a-z0-9]+", "_", argument.parameter.label.lower()).strip("_") or f"arg_{number}"
        argument.parameter.name = name if name not in taken else f"{name}_{number}"
        arguments.append(argument)
    return arguments


def _argument(one: Any) -> Argument:
    label = str(one.label or one.elem_id or type(one).__name__)
    given: dict[str, Any] = {"label": label, "help": str(one.info or "")}
    if isinstance(one, gr.Checkbox):
        return Argument(Toggle(default=bool(one.value), **given), bool)
    if isinstance(one, gr.Slider | gr.Number):
        return _number(one, given)
    if isinstance(one, gr.CheckboxGroup) or (isinstance(one, gr.Dropdown) and one.multiselect):
        return _several(one, given)
    if isinstance(one, gr.Dropdown | gr.Radio) and one.choices and not one.allow_custom_value:
        return _choice(one, given)
    if isinstance(one, gr.Textbox | gr.Dropdown | gr.Radio | gr.ColorPicker):
        return Argument(Text(default=str(one.value or ""), lines=int(one.lines or 1), **given), str)
    if isinstance(one, gr.Image):
        return Argument(Picture(**given), _picture(str(one.type or "numpy")))
    return Argument(Kept(**given), lambda value: one.value if value == "" else value)


def _number(one: Any, given: dict[str, Any]) -> Argument:
    low, high, step = one.minimum, one.maximum, one.step
    value = one.value if isinstance(one.value, int | float) else (low or 0)
    whole = one.precision == 0 or (isinstance(value, int) and (step is None or float(step).is_integer()))
    whole = whole and (isinstance(one, gr.Slider) or one.precision == 0)
    usual = int(value) if whole else float(value)
    usual = max(usual, low) if low is not None else usual
    usual = min(usual, high) if high is not None else usual
    bounds = {"minimum": low, "maximum": high, "step": step}
    return Argument(Number(default=int(usual) if whole else float(usual), **bounds, **given), int if whole else float)


def _rows(choices: Any) -> tuple[tuple[str, ...], list[Any]]:
    """Words and values of choices, each of which is a value or a pair of both."""
    pairs = [one if isinstance(one, tuple) and len(one) == 2 else (one, one) for one in choices]
    return tuple(str(word) for word, _ in pairs), [value for _, value in pairs]


def _choice(one: Any, given: dict[str, Any]) -> Argument:
    words, values = _rows(one.choices)
    by_place = one.type == "index"
    usual = one.value
    place = values.index(usual) if usual in values else usual if by_place and isinstance(usual, int) else 0

    def convert(word: Any) -> Any:
        found = words.index(word)
        return found if by_place else values[found]

    return Argument(Choice(default=words[place], choices=words, **given), convert)


def _several(one: Any, given: dict[str, Any]) -> Argument:
    words, values = _rows(one.choices or ())
    usual = one.value if isinstance(one.value, list) else [one.value] if one.value else []
    default = ", ".join(words[values.index(each)] for each in usual if each in values)

    def convert(text: str) -> list[Any]:
        found = [words.index(word) for word in text.split(", ") if word]
        return found if one.type == "index" else [values[place] for place in found]

    return Argument(Several(default=default, choices=words, **given), convert)


def _picture(kind: str) -> Callable[[bytes], Any]:
    def convert(data: bytes) -> Any:
        if not data:
            return None
        image = Image.open(io.BytesIO(data)).convert("RGB")
        if kind == "pil":
            return image
        import numpy as np

        return np.asarray(image)

    return convert
