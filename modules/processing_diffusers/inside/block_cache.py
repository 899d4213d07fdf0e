"""Caches over steps for transformers: whether, and from what, all blocks behind the first are taken over.

First-Block-Cache (Cheng, ParaAttention, after TeaCache, arXiv:2411.19108) asks the first block: where it says nearly
what it said in the last full call, the others add what they added then. TaylorSeer (Liu et al., arXiv:2503.06923) goes
on from the last full calls by a Taylor series of finite differences; here of what comes out of the last block.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from modules.processing_diffusers.inside.step_cache import Forward, computed_by

LISTS = ("joint_transformer_blocks", "transformer_blocks", "single_transformer_blocks", "layers", "blocks")
"""What transformers call their blocks, in the order in which they are called."""
WORDS = "encoder_hidden_states"
Pair = tuple[torch.Tensor, torch.Tensor | None]
"""Cells, and words where the block gives both."""


def find_blocks(transformer: Any) -> list[Any]:
    """All blocks, first to last."""
    return [block for name in LISTS for block in getattr(transformer, name, ())]


@dataclass(frozen=True, slots=True)
class _Given:
    """What a block is called with, by name."""

    names: tuple[str, ...]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, block: Any, given: Sequence[Any], named: Mapping[str, Any]) -> _Given:
        names = tuple(inspect.signature(type(block).forward).parameters)[1:]
        return cls(names, {**dict(zip(names, given, strict=False)), **named})

    @property
    def cells(self) -> torch.Tensor:
        found: torch.Tensor = self.values[self.names[0]]
        return found

    @property
    def words(self) -> torch.Tensor | None:
        return self.values.get(WORDS)

    def of_rows(self, rows: Sequence[int]) -> dict[str, Any]:
        """The same for some of the rows."""
        count = self.cells.shape[0]
        where = torch.tensor(rows, device=self.cells.device)
        return {name: _picked(value, where, count, name) for name, value in self.values.items()}


def _picked(value: Any, rows: torch.Tensor, count: int, name: str) -> Any:
    if isinstance(value, torch.Tensor):
        # Places of cells are the same for all rows in some models, where they are a plane or a line.
        placed = name == "image_rotary_emb" and value.ndim < 3
        return value if placed or value.ndim == 0 or value.shape[0] != count else value[rows]
    if isinstance(value, Mapping):
        return {key: _picked(item, rows, count, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_picked(item, rows, count, name) for item in value)
    return value


def parts_of(output: Any) -> Pair:
    """Cells and words of what a block gives."""
    if isinstance(output, torch.Tensor):
        return output, None
    words, cells = output
    return cells, words


def _like(output: Any, pair: Pair) -> Any:
    """The pair in the form in which a block gives it."""
    cells, words = pair
    return cells if not isinstance(output, tuple) else (words, cells)


@dataclass
class _Forms:
    """What is known of each block: the form of its answer, `()` for cells alone, `(False,)` without words."""

    known: dict[int, tuple[bool, ...]] = field(default_factory=dict)

    def note(self, place: int, output: Any) -> None:
        self.known[place] = (output[0] is not None,) if isinstance(output, tuple) else ()

    def give(self, place: int, cells: torch.Tensor, words: torch.Tensor | None) -> Any:
        form = self.known[place]
        return cells if not form else (words if form[0] else None, cells)


@dataclass
class FirstBlockKnown:
    """What the first block added in the last full call of each row, and what the others added to that."""

    head: torch.Tensor | None = None
    cells: torch.Tensor | None = None
    words: torch.Tensor | None = None
    forms: _Forms = field(default_factory=_Forms)
    rows: list[int] = field(default_factory=list)
    """Of the running call, those that are computed in full."""
    begun: Pair | None = None
    """Of the running call, what the first block gave."""


class FirstBlock:
    """Computes the blocks behind the first for those rows alone for which it says something new.

    Each row decides for itself, so a picture does not depend on the others of its batch.
    """

    def __init__(self, threshold: float) -> None:
        """`threshold` is the mean change of what the first block adds, as a share of what it added."""
        self._threshold = threshold

    def due(self, calls: int) -> bool:
        """The first block is asked."""
        return False

    def begin(self) -> FirstBlockKnown:
        """Nothing yet."""
        return FirstBlockKnown()

    @contextlib.contextmanager
    def standing(self, module: Any, known: FirstBlockKnown, *, whole: bool) -> Iterator[None]:
        """Round a call of a transformer."""
        blocks = find_blocks(module)
        if len(blocks) < 2:
            yield
            return
        with contextlib.ExitStack() as stack:
            for place, block in enumerate(blocks):
                if place == 0:
                    make = partial(self._first, block, known, whole)
                else:
                    make = partial(_later, block, known, place, place == len(blocks) - 1)
                stack.enter_context(computed_by(block, make))
            yield
        known.begun = None

    def _first(self, block: Any, known: FirstBlockKnown, whole: bool, original: Forward) -> Forward:
        def forward(*given: Any, **named: Any) -> Any:
            output = original(*given, **named)
            known.begun = cells, words = parts_of(output)
            added = cells - _Given.of(block, given, named).cells
            known.rows = list(range(len(cells)))
            other = known.words is not None and words is not None and known.words.shape != words.shape
            if known.head is None or known.cells is None or known.head.shape != added.shape or other:
                known.head = added
                return output
            if not whole:
                change = (added - known.head).abs().flatten(1).float().mean(1)
                size = known.head.abs().flatten(1).float().mean(1)
                fresh = (change > self._threshold * size).tolist()
                known.rows = [row for row, new in enumerate(fresh) if new]
            if known.rows:
                known.head = _put(known.head, known.rows, added[known.rows])
            return output

        return forward


def _later(block: Any, known: FirstBlockKnown, place: int, last: bool, original: Forward) -> Forward:
    """The `forward` of a block behind the first."""

    def forward(*given: Any, **named: Any) -> Any:
        came = _Given.of(block, given, named)
        if len(known.rows) == len(came.cells):
            output = original(*given, **named)
        elif known.rows:
            cells, words = parts_of(original(**came.of_rows(known.rows)))
            whole_words = None if words is None or came.words is None else _put(came.words, known.rows, words)
            output = known.forms.give(place, _put(came.cells, known.rows, cells), whole_words)
        else:
            output = known.forms.give(place, came.cells, came.words)
        known.forms.note(place, output)
        return _finish(known, output) if last else output

    return forward


def _finish(known: FirstBlockKnown, output: Any) -> Any:
    """What comes out of the last block: remembered for rows that were computed, taken over for the others."""
    assert known.begun is not None  # the first block was called before
    cells, words = parts_of(output)
    start, start_words = known.begun
    if start.shape != cells.shape and start_words is not None:  # some models put words and cells in one row on the way
        start = torch.cat([start_words, start], dim=1)
    rows = known.rows
    if len(rows) == len(cells):
        known.cells = cells - start
        known.words = None if words is None or start_words is None else words - start_words
        return output
    assert known.cells is not None  # the first call computes all rows
    if rows:
        known.cells = _put(known.cells, rows, (cells - start)[rows])
        if words is not None and start_words is not None and known.words is not None:
            known.words = _put(known.words, rows, (words - start_words)[rows])
    old = [row for row in range(len(cells)) if row not in rows]
    cells = _put(cells, old, (start + known.cells)[old])
    if words is not None and start_words is not None and known.words is not None:
        words = _put(words, old, (start_words + known.words)[old])
    return _like(output, (cells, words))


def _put(tensor: torch.Tensor, rows: Sequence[int], values: torch.Tensor) -> torch.Tensor:
    """A copy of `tensor` with those rows replaced."""
    changed = tensor.clone()
    changed[torch.tensor(rows, device=tensor.device)] = values.to(changed.dtype)
    return changed


@dataclass
class ForecastKnown:
    """The series of what comes out of the last block."""

    factors: list[tuple[torch.Tensor, torch.Tensor | None]] = field(default_factory=list)
    """The last answer, its change a call, the change of that, …"""
    since: int = 0
    """Calls since the last full one."""
    forms: _Forms = field(default_factory=_Forms)


class TaylorSeer:
    """Computes all blocks in one of `interval` calls, and in the others goes on from the last answers."""

    def __init__(self, interval: int, order: int = 1) -> None:
        self._interval, self._order = interval, order

    def due(self, calls: int) -> bool:
        """Once an interval."""
        return calls >= self._interval

    def begin(self) -> ForecastKnown:
        """Nothing yet."""
        return ForecastKnown()

    @contextlib.contextmanager
    def standing(self, module: Any, known: ForecastKnown, *, whole: bool) -> Iterator[None]:
        """Round a call of a transformer."""
        blocks = find_blocks(module)
        known.since += 1
        with contextlib.ExitStack() as stack:
            for place, block in enumerate(blocks):
                make = partial(self._block, block, known, place, whole, place == len(blocks) - 1)
                stack.enter_context(computed_by(block, make))
            yield
        if whole:
            known.since = 0

    def _block(
        self, block: Any, known: ForecastKnown, place: int, whole: bool, last: bool, original: Forward
    ) -> Forward:
        def forward(*given: Any, **named: Any) -> Any:
            if whole:
                output = original(*given, **named)
                known.forms.note(place, output)
                if last:
                    self._learn(known, parts_of(output))
                return output
            if last:
                return known.forms.give(place, *_forecast(known))
            came = _Given.of(block, given, named)
            return known.forms.give(place, came.cells, came.words)

        return forward

    def _learn(self, known: ForecastKnown, answer: Pair) -> None:
        """The series anew: divided differences of this full call and the ones before it."""
        found, before = [answer], known.factors
        if before and _sizes(before[0]) != _sizes(answer):
            before = []  # there are more words now, or fewer, as with pictures among them for a part of the steps
        for order in range(min(self._order, len(before))):
            found.append(_difference(found[order], before[order], known.since))
        known.factors = found


def _sizes(pair: Pair) -> list[torch.Size | None]:
    return [None if one is None else one.shape for one in pair]


def _difference(now: Pair, before: Pair, calls: int) -> Pair:
    cells = (now[0] - before[0]) / calls
    words = None if now[1] is None or before[1] is None else (now[1] - before[1]) / calls
    return cells, words


def _forecast(known: ForecastKnown) -> Pair:
    """What the last block would give so many calls after the last full one."""
    (cells, words), *more = known.factors
    for order, (slope, words_slope) in enumerate(more, 1):
        share = known.since**order / math.factorial(order)
        cells = cells + share * slope
        if words is not None and words_slope is not None:
            words = words + share * words_slope
    return cells, words
