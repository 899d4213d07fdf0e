"""Weighted text into pieces of equal length, each of which a text encoder reads at a time.

CLIP reads 75 tokens between a begin and an end. A longer text goes in several pieces, which are encoded by themselves
and laid end to end, as A1111 does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modules.prompts.emphasis import Span

Tokenize = Callable[[str], Sequence[int]]
"""Token ids of a text without begin and end."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """How an encoder's pieces look."""

    room: int
    """Tokens of text in one piece."""
    end: int
    """Id that ends a piece."""
    pad: int
    """Id that fills it up after the end."""
    begin: int | None = None
    """Id that begins it, for encoders that have one."""
    comma: int | None = None
    """Id of a comma at the end of a word; a piece may end after it."""

    def filled(self, piece: Piece) -> int:
        """How many of a piece's ids are its ends and its text; what fills it up comes after."""
        return piece.tokens + 1 + (self.begin is not None)


@dataclass(frozen=True, slots=True)
class Piece:
    """What an encoder reads at a time: ids, and what each counts."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    tokens: int
    """How many are text."""

    @property
    def weighted(self) -> bool:
        """Some token counts more or less than 1."""
        return any(weight != 1.0 for weight in self.weights)


def cut_pieces(spans: Iterable[Span], tokenize: Tokenize, ruler: Ruler, backtrack: int) -> tuple[Piece, ...]:
    """Pieces of the text in order, at least one, all of the same length.

    A piece that is full ends at its last comma when that is at most `backtrack` tokens back, and what came after the
    comma begins the next one. A break ends a piece, however short.
    """
    pieces: list[Piece] = []
    tokens: list[int] = []
    weights: list[float] = []
    for span in spans:
        if span.text is not None:
            found = tokenize(span.text)
            tokens.extend(found)
            weights.extend([span.weight] * len(found))
            continue
        pieces += _cut(tokens, weights, ruler, backtrack) or [_fill((), (), ruler)]
        tokens, weights = [], []
    pieces += _cut(tokens, weights, ruler, backtrack)
    return tuple(pieces) or (_fill((), (), ruler),)


def _cut(tokens: Sequence[int], weights: Sequence[float], ruler: Ruler, backtrack: int) -> list[Piece]:
    """What stands between two breaks, as pieces; none for nothing."""
    pieces: list[Piece] = []
    begin = 0
    while begin < len(tokens):
        end = min(begin + ruler.room, len(tokens))
        if end < len(tokens) and tokens[end] != ruler.comma:
            # A comma that a full piece pushed into this one counts as the one's before.
            pushed = bool(pieces) and tokens[begin] == ruler.comma
            earliest = max(begin + pushed, end - backtrack)
            end = next((place + 1 for place in range(end - 1, earliest - 1, -1) if tokens[place] == ruler.comma), end)
        pieces.append(_fill(tokens[begin:end], weights[begin:end], ruler))
        begin = end
    return pieces


def _fill(tokens: Sequence[int], weights: Sequence[float], ruler: Ruler) -> Piece:
    """A piece with its ends, filled up to its length."""
    front = () if ruler.begin is None else (ruler.begin,)
    missing = ruler.room - len(tokens)
    ids = (*front, *tokens, ruler.end, *([ruler.pad] * missing))
    return Piece(ids, (*([1.0] * len(front)), *weights, *([1.0] * (missing + 1))), len(tokens))
