"""Prompts that change while a picture is drawn: `[from:to:when]` and `[a|b]`, nested at will.

A text is read once into a tree and told for each step. It takes time in proportion to its length; nothing in it can
make reading slow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from modules.contracts.errors import InvalidRequest

MOST_CHARACTERS = 4_000_000
"""Characters that one prompt may come to over all of its steps."""
DEEPEST = 100
"""Schedules within each other; what goes deeper is taken as it is written."""
_TOKEN = re.compile(r"(?P<plain>(?:[^\\\[\]():|]|\\.)+)|(?P<mark>[\[\]():|])")
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\Z")

Said = TypeVar("Said")
Timeline = tuple[tuple[int, str], ...]
"""Texts in order, each with the last count at which it holds; the last one's is the number of counts of the pass."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a pass counts, which is A1111's way: every model call counts, the first one being 0, and a sampler that
    A1111 calls one of second order has two counts for each step. All other steps count once."""

    steps: int
    """Counts of this pass: what a fraction is a fraction of."""
    before: int | None = None
    """In a second pass the counts of the first: whole numbers go on there, and fractions from 1.0 on."""

    def step_of(self, written: str) -> int:
        """The last count of what comes before the change; with 0 or less it never comes."""
        value = float(written)
        if "." in written:
            value = (value - (0.0 if self.before is None else 1.0)) * self.steps
        else:
            value -= self.before or 0
        return int(max(min(value, self.steps), -1))


@dataclass(slots=True)
class _Bracket:
    """A bracket that is open while a text is read: its parts so far, and what stood between them."""

    mark: str
    parts: list[list[Any]] = field(default_factory=lambda: [[]])
    marks: list[str] = field(default_factory=list)
    sound: bool = True
    """Nothing in it is out of place, so it may be part of a schedule."""


@dataclass(frozen=True, slots=True)
class _Change:
    """`[from:to:when]`, or `[a|b]` where `when` is None."""

    when: str | None
    options: tuple[list[Any], ...]
    depth: int


class _Literal(Exception):
    """The text breaks the rules of the language and is taken as it is written."""


def tell_timeline(text: str, pace: Pace) -> Timeline:
    """What the text says in the course of a pass. One that breaks the language's rules says itself throughout.

    `[from:to:when]` says `from` up to the count `when`, that one included, and `to` after it; `when` is a fraction of
    the counts where it has a point and a number of them where it has none. `[to:when]` begins with nothing,
    `[from::when]` ends with nothing. `[a|b|c]` goes on to the next with every count from the second on.
    Raises `InvalidRequest` for a text that would come to more than four million characters.
    """
    if "[" not in text:
        return ((pace.steps, text),)
    try:
        tree = _read(text)
    except _Literal:
        return ((pace.steps, text),)
    steps = sorted({pace.steps, *_changes(tree, pace)})
    if len(steps) * len(text) > MOST_CHARACTERS:
        raise InvalidRequest(
            f"A prompt of {len(text)} characters changes at {len(steps)} steps; make it shorter or let it change less."
        )
    told: list[tuple[int, str]] = []
    for step in steps:
        said = "".join(_say(tree, step, pace))
        if told and told[-1][1] == said:
            told.pop()
        told.append((step, said))
    return tuple(told)


def said_at(entries: Sequence[tuple[int, Said]], count: int) -> Said:
    """What holds at that count, 0 being the first model call: the first entry whose end it has not passed.

    A sampler that makes more calls than were counted on (DPM adaptive) hears the first entry again after the last, as
    in A1111.
    """
    return next((said for last, said in entries if count <= last), entries[0][1])


def _read(text: str) -> list[Any]:
    """A list of strings and `_Change`s. Raises `_Literal`."""
    root = _Bracket("")
    stack = [root]
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:  # a backslash with nothing after it
            raise _Literal
        place = match.end()
        top, found = stack[-1], match.group()
        if match.lastgroup == "plain":
            top.parts[-1].append(found)
        elif found in "([":
            stack.append(_Bracket(found))
        elif found in ":|":
            top.marks.append(found)
            top.parts.append([])
        elif top.mark == {")": "(", "]": "["}[found]:
            stack.pop()
            _close(stack[-1], top, found)
        else:
            while len(stack) > 1:  # what is open here can never be closed properly
                _spill(stack[-2], stack.pop())
            _unmarked(root)
            root.parts[-1].append(found)
    while len(stack) > 1:
        _spill(stack[-2], stack.pop())
    _unmarked(root)
    return root.parts[0]


def _close(outer: _Bracket, bracket: _Bracket, closing: str) -> None:
    """Put a closed bracket into the one round it: a schedule, emphasis as it is written, or loose characters."""
    parts, marks = bracket.parts, bracket.marks
    if bracket.sound and bracket.mark == "[" and marks:
        if set(marks) == {"|"}:
            outer.parts[-1].append(_change(None, parts))
            return
        written = "".join(parts[-1]) if all(isinstance(item, str) for item in parts[-1]) else ""
        number = _NUMBER.match(written)
        if set(marks) == {":"} and len(marks) <= 2 and number is not None:
            outer.parts[-1].append(_change(number[1], [[]] * (3 - len(parts)) + parts[:-1]))
            return
    if not bracket.sound or "|" in marks or (marks and (bracket.mark == "[" or len(marks) > 1)):
        _spill(outer, bracket)
        outer.parts[-1].append(closing)
        return
    _pour(outer, bracket)
    outer.parts[-1].append(closing)


def _change(when: str | None, options: list[list[Any]]) -> _Change:
    inner = max((item.depth for option in options for item in option if isinstance(item, _Change)), default=0)
    if inner >= DEEPEST:
        raise _Literal
    return _Change(when, tuple(options), inner + 1)


def _spill(outer: _Bracket, bracket: _Bracket) -> None:
    """A bracket that is none: its characters are loose, and so nothing round it can be a schedule."""
    if "|" in bracket.marks:
        raise _Literal
    outer.sound = False
    _pour(outer, bracket)


def _pour(outer: _Bracket, bracket: _Bracket) -> None:
    into = outer.parts[-1]
    into.append(bracket.mark)
    for number, part in enumerate(bracket.parts):
        if number:
            into.append(bracket.marks[number - 1])
        into.extend(part)


def _unmarked(root: _Bracket) -> None:
    """Make one list of the outermost text, where a colon is a character and a bar breaks the rules."""
    if "|" in root.marks:
        raise _Literal
    whole: list[Any] = []
    for number, part in enumerate(root.parts):
        whole += [":", *part] if number else part
    root.parts, root.marks = [whole], []


def _changes(tree: list[Any], pace: Pace) -> set[int]:
    """Steps at which what the text says may end."""
    found: set[int] = set()
    waiting = [tree]
    while waiting:
        for item in waiting.pop():
            if isinstance(item, _Change):
                waiting.extend(item.options)
                if item.when is None:
                    return set(range(1, pace.steps + 1))
                step = pace.step_of(item.when)
                if step >= 1:
                    found.add(step)
    return found


def _say(tree: list[Any], step: int, pace: Pace) -> list[str]:
    said: list[str] = []
    for item in tree:
        if isinstance(item, str):
            said.append(item)
            continue
        place = (step - 1) % len(item.options) if item.when is None else int(step > pace.step_of(item.when))
        said.extend(_say(item.options[place], step, pace))
    return said
