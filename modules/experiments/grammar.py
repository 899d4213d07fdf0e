"""Values of an axis as text: A1111's grammar, and expressions.

a, "b, c", d           words, by comma, in quotes where they hold one
1-5                    whole steps, both ends included
1-5 (+2)   5-1 (-2)    that step, as far as the end
1-10 [4]               so many values, evenly spread from end to end
= 2**n for n in 1..4   an expression, see `modules.experiments.expressions`
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import MOST_CELLS
from modules.experiments.expressions import evaluate_list
from modules.support.word_lists import read_words

EXPRESSION = "="
"""The first character of an expression."""
_NUMBER = r"([+-]?\s*\d+(?:\.\d*)?|[+-]?\s*\.\d+)"
_RANGE = re.compile(rf"\s*{_NUMBER}\s*-\s*{_NUMBER}\s*(?:\(\s*{_NUMBER}\s*\)|\[\s*(\d+)\s*\])?\s*")
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_SLACK = 1e-9
"""By how much of a step the last value of a range may lie beyond its end: steps of 0.1 do not add up exactly."""
_DIGITS = 10
"""Decimals that values of a range keep, so that 0.1 + 0.2 is 0.3."""


def words_of(text: str) -> list[str]:
    """The parts of a comma separated text, without blanks around them; a part in quotes may hold commas and quotes.

    Raises `InvalidRequest` where it cannot be read.
    """
    try:
        return read_words(text)
    except ValueError as error:
        raise InvalidRequest(f"The list {text[:80]!r} cannot be read: {error}.") from error


def integers_of(text: str, label: str) -> list[int]:
    """Whole numbers, ranges spread out. Raises `InvalidRequest`."""
    return [whole(value, label) for value in _numbers(text, label, whole=True)]


def floats_of(text: str, label: str) -> list[float]:
    """Numbers, ranges spread out. Raises `InvalidRequest`."""
    return [float(value) for value in _numbers(text, label, whole=False)]


def booleans_of(text: str, label: str) -> list[bool]:
    """`true` and `false`, and other words for them. Raises `InvalidRequest`."""
    return [boolean(part, label) for part in words_of(text) if part]


def boolean(value: object, label: str) -> bool:
    """A truth value out of a word. Raises `InvalidRequest`."""
    if isinstance(value, bool):
        return value
    word = str(value).casefold()
    if word not in _WORDS:
        raise InvalidRequest(f"{label}: {value!r:.80} is neither true nor false.")
    return _WORDS[word]


def number(value: object, label: str) -> float:
    """A finite number out of a number or a text. Raises `InvalidRequest`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidRequest(f"{label}: {value!r:.80} is no number.")
    try:
        found = float(value.replace(" ", "") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{label}: {value!r:.80} is no number; lists, 1-5, 1-5 (+2) and 1-10 [4] are.") from None
    if not math.isfinite(found):
        raise InvalidRequest(f"{label}: {value!r:.80} is not finite.")
    return found


def whole(value: object, label: str) -> int:
    """A whole number out of a number or a text. Raises `InvalidRequest`."""
    found = number(value, label)
    if not found.is_integer():
        raise InvalidRequest(f"{label}: {found:g} is not whole.")
    return int(found)


def _numbers(text: str, label: str, *, whole: bool) -> list[float]:
    if text.lstrip().startswith(EXPRESSION):
        return [number(value, label) for value in evaluate_list(text.lstrip()[1:])]
    found: list[float] = []
    for part in words_of(text):
        if not part:
            continue
        matched = _RANGE.fullmatch(part)
        found += _spread(matched, part, label, whole) if matched else [number(part, label)]
        _check_count(len(found), label)
    return found


def _spread(matched: re.Match[str], part: str, label: str, whole: bool) -> list[float]:
    start, end = number(matched[1], label), number(matched[2], label)
    if matched[4] is not None:
        return _linear(start, end, int(matched[4][:9]), label, whole)
    step = (1.0 if end >= start else -1.0) if matched[3] is None else number(matched[3], label)
    if step == 0 or (end - start) * step < 0:
        raise InvalidRequest(f"{label}: {part!r} never comes to its end; the step is {step:g}.")
    count = int((end - start) / step + 1 + _SLACK)
    _check_count(count, label)
    return [round(start + index * step, _DIGITS) for index in range(count)]


def _linear(start: float, end: float, count: int, label: str, whole: bool) -> list[float]:
    _check_count(count, label)
    if count < 1:
        raise InvalidRequest(f"{label}: a range of no values was given; [1] or more is needed.")
    if count == 1:
        return [start]
    cut: Callable[[float], float] = math.trunc if whole else lambda value: round(value, _DIGITS)
    return [cut(round(start + (end - start) * index / (count - 1), _DIGITS)) for index in range(count)]


def _check_count(count: int, label: str) -> None:
    if count > MOST_CELLS:
        raise InvalidRequest(f"{label}: {count} values are too many; an experiment has at most {MOST_CELLS} cells.")
