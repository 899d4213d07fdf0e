"""Weighted text into pieces of equal length, each of which a text encoder reads at a time.

CLIP reads 75 tokens between a begin and an end. A longer text goes in several pieces, which are encoded by themselves
and laid end to end, as A1111 does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class _Cutter:
    """A text on its way into pieces."""

    ruler: Ruler
    backtrack: int
    pieces: list[Piece] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    comma: int = -1
    """Place of the latest comma in the piece; -1 is none."""

    def add(self, token: int, weight: float) -> None:
        room = self.ruler.room
        if token == self.ruler.comma:
            self.comma = len(self.tokens)
        elif self.backtrack and len(self.tokens) == room and self.comma >= 0 and room - self.comma <= self.backtrack:
            cut = self.comma + 1
            tokens, weights = self.tokens[cut:], self.weights[cut:]
            del self.tokens[cut:], self.weights[cut:]
            self.close()
            self.tokens, self.weights = tokens, weights
        if len(self.tokens) == room:
            self.close()
        self.tokens.append(token)
        self.weights.append(weight)

    def close(self) -> None:
        ruler, count = self.ruler, len(self.tokens)
        front = () if ruler.begin is None else (ruler.begin,)
        fill = ruler.room - count
        ids = (*front, *self.tokens, ruler.end, *(ruler.pad for _ in range(fill)))
        ones = (1.0,) * (fill + 1)
        self.pieces.append(Piece(ids, (*(1.0 for _ in front), *self.weights, *ones), count))
        self.tokens, self.weights, self.comma = [], [], -1


def cut_pieces(spans: Iterable[Span], tokenize: Tokenize, ruler: Ruler, backtrack: int) -> tuple[Piece, ...]:
    """Pieces of the text in order, at least one, all of the same length.

    A piece that is full ends at its last comma when that is at most `backtrack` tokens back, and what came after the
    comma begins the next one. A break ends a piece, however short.
    """
    cutter = _Cutter(ruler, backtrack)
    for span in spans:
        if span.text is None:
            cutter.close()
            continue
        for token in tokenize(span.text):
            cutter.add(token, span.weight)
    if cutter.tokens or not cutter.pieces:
        cutter.close()
    return tuple(cutter.pieces)
