"""Dynamic prompts: `{a|b::2|c}` and `__name__`, drawn from a picture's own seed.

What comes out holds nothing more to be drawn, so that drawing it again changes nothing: a picture's words can be kept
and asked for again. A backslash keeps a brace or an underscore as it is, in what comes out as well.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modules.contracts.errors import InvalidRequest
from modules.contracts.validation import MAX_PROMPT_CHARACTERS

DEEPEST = 50
"""Choices and wildcards within each other."""
MOST_DRAWS = 10_000
"""Choices that one prompt may make."""
ROUNDS = 8
"""How often what was put together is looked through again for something to be drawn."""
_WILDCARD = re.compile(r"__([\w\-*](?:[\w\-*. /]{0,200}?[\w\-*])??)__")
_HOW_MANY = re.compile(r"\s*(\d{1,4})(?:-(\d{1,4}))?\$\$(?:((?:(?!\$\$)[^|{}])*)\$\$)?")
_WEIGHT_BEFORE = re.compile(r"\s*(\d+\.?\d*|\.\d+)::")
_WEIGHT_AFTER = re.compile(r"::\s*(\d+\.?\d*|\.\d+)\s*\Z")
_CLOSING = {"{": "}", "[": "]", "(": ")"}

Lines = Callable[[str], Sequence[str] | None]
"""Choices of a wildcard by its name; None where there is no such wildcard."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A prompt with everything drawn."""

    text: str
    unknown: tuple[str, ...] = ()
    """Names of wildcards that are not there; they stand in the text as they were written."""


def draw_choices(text: str, seed: int, lines: Lines) -> Drawn:
    """The text with each choice made. The same text, seed and wildcards give the same text, on every machine.

    `{a|b::2|c}` is one of three, the second twice as likely; a weight may also stand before its option, `{2::b|c}`.
    `{2$$a|b|c}` is two of them with a comma between, `{1-2$$ and $$a|b}` one or two with `and`. `__name__` is a line of
    the wildcard of that name, which may hold choices and wildcards itself. Braces with no bar within are characters.
    Raises `InvalidRequest` for what never comes to an end or grows beyond the length of a prompt.
    """
    if "{" not in text and "__" not in text:
        return Drawn(text)
    table = _Table(random.Random(f"words {seed}"), lines)
    for _ in range(ROUNDS):
        before = text
        text = table.expand(text, 0)
        if text == before:
            break
    return Drawn(text, tuple(dict.fromkeys(table.unknown)))


class _Table:
    """One prompt's draws."""

    def __init__(self, chance: random.Random, lines: Lines) -> None:
        self.unknown: list[str] = []
        self._chance, self._lines, self._draws = chance, lines, 0

    def expand(self, text: str, depth: int) -> str:
        if depth > DEEPEST:
            raise InvalidRequest(f"Choices and wildcards lie in each other more than {DEEPEST} deep.")
        pairs, made, place = _pairs(text), list[str](), 0
        while place < len(text):
            character = text[place]
            if character == "\\":
                made.append(text[place : place + 2])
                place += 2
            elif character == "{" and place in pairs:
                made.append(self._choose(text[place + 1 : pairs[place]], depth))
                place = pairs[place] + 1
            elif character == "_" and (name := _WILDCARD.match(text, place)) is not None:
                made.append(self._take(name[1], name[0], depth))
                place = name.end()
            else:
                made.append(character)
                place += 1
        whole = "".join(made)
        if len(whole) > MAX_PROMPT_CHARACTERS:
            raise InvalidRequest(f"The prompt grows beyond {MAX_PROMPT_CHARACTERS} characters by its wildcards.")
        return whole

    def _choose(self, body: str, depth: int) -> str:
        many = _HOW_MANY.match(body)
        options = _split(body[many.end() :] if many else body)
        if many is None and len(options) == 1:
            return "{" + self.expand(body, depth + 1) + "}"
        weighted = [_weigh(option) for option in options]
        fewest = int(many[1]) if many else 1
        most = int(many[2] or many[1]) if many else 1
        count = fewest + int(self._chance.random() * (max(most, fewest) - fewest + 1))
        joint = ", " if many is None or many[3] is None else many[3]
        return joint.join(self.expand(option, depth + 1) for option in self._pick(weighted, count))

    def _take(self, name: str, written: str, depth: int) -> str:
        lines = self._lines(name)
        if lines is None:
            self.unknown.append(name)
            return written
        chosen = self._pick([_weigh(line) for line in lines], 1)
        return self.expand(chosen[0], depth + 1)

    def _pick(self, weighted: Sequence[tuple[str, float]], count: int) -> list[str]:
        """So many of them, none twice, in the order in which they were drawn."""
        left, chosen = list(weighted), list[str]()
        while left and len(chosen) < count:
            self._draws += 1
            if self._draws > MOST_DRAWS:
                raise InvalidRequest(f"The prompt makes more than {MOST_DRAWS} choices; wildcards may name each other.")
            point = self._chance.random() * sum(weight for _, weight in left)
            place = 0
            while place < len(left) - 1 and point >= left[place][1]:
                point -= left[place][1]
                place += 1
            chosen.append(left.pop(place)[0])
        return chosen


def _pairs(text: str) -> dict[int, int]:
    """Where each bracket that is closed is closed, of all three kinds; others are characters."""
    found: dict[int, int] = {}
    open_ones: list[int] = []
    place = 0
    while place < len(text):
        character = text[place]
        if character == "\\":
            place += 1
        elif character in _CLOSING:
            open_ones.append(place)
        elif character in "}])":
            # A brace looks past round and square brackets that were left open within it; those do not look past one.
            while open_ones and character == "}" and text[open_ones[-1]] != "{":
                open_ones.pop()
            if open_ones and _CLOSING[text[open_ones[-1]]] == character:
                found[open_ones.pop()] = place
        place += 1
    return found


def _split(body: str) -> list[str]:
    """Cut at bars that stand in no bracket of their own."""
    pairs, parts, begin, place = _pairs(body), list[str](), 0, 0
    while place < len(body):
        if body[place] == "\\":
            place += 1
        elif place in pairs:
            place = pairs[place]
        elif body[place] == "|":
            parts.append(body[begin:place])
            begin = place + 1
        place += 1
    return [*parts, body[begin:]]


def _weigh(option: str) -> tuple[str, float]:
    """The option and its weight, 1 where it names none."""
    before = _WEIGHT_BEFORE.match(option)
    if before is not None:
        return option[before.end() :].strip(), float(before[1])
    after = _WEIGHT_AFTER.search(option)
    if after is not None:
        return option[: after.start()].strip(), float(after[1])
    return option.strip(), 1.0
