"""Emphasis: which parts of a text count more or less, and where a piece of it has to end."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

STRONGER = 1.1
"""What a pair of round brackets multiplies a weight with; square ones divide by it."""
_PIECE = re.compile(
    r"(?P<escape>\\[()\[\]\\]?)|(?P<open>[(\[])|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)|(?P<close>[)\]])|(?P<text>[^\\()\[\]:]+|:)",
    re.DOTALL,
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text with one weight; None for the text is a break between two pieces."""

    text: str | None
    weight: float = 1.0


def parse_emphasis(text: str, mode: str) -> tuple[Span, ...]:
    """The text without its brackets, as spans of equal weight.

    `(x)` is 1.1 times as strong, `[x]` divided by 1.1, `(x:1.3)` is 1.3 times as strong, and all of that may be nested
    and multiplies. A backslash before a bracket or a backslash makes it an ordinary
    character, and is dropped elsewhere. A bracket that is never closed holds to the
    end, one that was never opened is text. `BREAK` gives a break wherever it stands. With the mode `Ignore` brackets
    are taken away and weigh nothing; with `None` the text is left as it is, `BREAK` included.
    """
    if mode == "None":
        return (Span(text),)
    spans: list[Span] = []
    open_at: dict[str, list[int]] = {"(": [], "[": []}
    for match in _PIECE.finditer(text):
        kind, found = match.lastgroup, match.group()
        if kind == "open":
            open_at[found].append(len(spans))
        elif kind == "weight" and open_at["("]:
            _multiply(spans, open_at["("].pop(), float(match["weight"]))
        elif kind == "close" and open_at["(" if found == ")" else "["]:
            round_one = found == ")"
            begin = open_at["(" if round_one else "["].pop()
            _multiply(spans, begin, STRONGER if round_one else 1 / STRONGER)
        elif kind == "escape":
            spans.append(Span(found[1:]))
        else:
            spans.extend(_split_at_breaks(found))
    _multiply(spans, open_at["("], STRONGER)
    _multiply(spans, open_at["["], 1 / STRONGER)
    if mode == "Ignore":
        spans = [replace(span, weight=1.0) for span in spans]
    return _joined(spans)


def _multiply(spans: list[Span], begins: int | Sequence[int], factor: float) -> None:
    """Change the weight of all spans from each place of `begins` on."""
    for begin in [begins] if isinstance(begins, int) else begins:
        for place in range(begin, len(spans)):
            spans[place] = replace(spans[place], weight=spans[place].weight * factor)


def _split_at_breaks(text: str) -> list[Span]:
    if "BREAK" not in text:  # the pattern looks at every space, which takes longer than all the rest
        return [Span(text)]
    parts = _BREAK.split(text)
    found = [Span(parts[0])]
    for part in parts[1:]:
        found += [Span(None), Span(part)]
    return found


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Neighbours of equal weight made one, so that words are not torn apart where a bracket weighs nothing."""
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if span.text is None:
            found.append(Span(None))
        elif last is not None and last.text is not None and last.weight == span.weight:
            found[-1] = Span(last.text + span.text, span.weight)
        elif span.text:
            found.append(span)
    return tuple(found) or (Span(""),)


def plain_text(text: str) -> str:
    """The words alone, for encoders that take no weights: brackets, weights, breaks and escapes are gone."""
    return " ".join(span.text.strip() for span in parse_emphasis(text, "Ignore") if span.text and span.text.strip())


def is_weighted(text: str) -> bool:
    """Whether some part of it counts more or less than another."""
    return any(not math.isclose(span.weight, 1.0) for span in parse_emphasis(text, "Original"))
