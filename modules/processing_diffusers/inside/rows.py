"""Changes inside a denoiser for single samples of a merged call. Its weights and processors are never touched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.attention import blur_queries, keep_to_itself
from modules.processing_diffusers.inside.blocks import leave_out
from modules.processing_diffusers.inside.freeu import Factors, weigh_features


@dataclass(frozen=True, slots=True)
class RowChange:
    """What one sample gets that others do not. As declared nothing."""

    alone: tuple[str, ...] = ()
    """Paths of self-attentions in which every place looks at itself only."""
    blurred: tuple[str, ...] = ()
    """Paths of self-attentions whose queries are blurred."""
    blur: float = 0.0
    """By how many cells, as a standard deviation."""
    left_out: tuple[str, ...] = ()
    """Paths of transformer blocks that let it pass as it is."""
    freeu: Factors | None = None
    """b1, b2, s1, s2."""


NO_CHANGE = RowChange()


class RowChanges:
    """A patch of the multiplexer that every call of a denoiser carries: what is changed for each of its samples.

    What a sample gets follows from its kind: 0 is the ordinary answer, and whoever asks for others numbers them. Hooks
    stand for the length of the call and are taken away after it.
    """

    signature: Hashable = "row changes"

    def __init__(
        self, shelf: ModuleShelf, change_of: Callable[[int], RowChange], kinds: tuple[int, ...] | None = None
    ) -> None:
        """`change_of` is asked for each kind when the call runs; without `kinds` all samples are of kind 0."""
        self._shelf, self._change_of, self._kinds = shelf, change_of, kinds

    @property
    def identity(self) -> Hashable:
        """What ordinary samples get, as it is now."""
        return self._change_of(0)

    def chosen(self, rows: Sequence[int]) -> RowChanges:
        """The same: which of the pipeline's rows a sample is says nothing here."""
        return self

    def of_kinds(self, kinds: Sequence[int]) -> RowChanges:
        """For a call whose samples are of those kinds."""
        return RowChanges(self._shelf, self._change_of, tuple(kinds))

    def rows(self, count: int) -> list[RowChange]:
        """What each of `count` samples gets."""
        return [self._change_of(kind) for kind in self._kinds or (0,) * count]

    def gathered(self, patches: Sequence[RowChanges], counts: Sequence[int]) -> AbstractContextManager[None]:
        """To be entered round a call made of the calls of `patches`, of so many samples each."""
        return self._standing([row for patch, count in zip(patches, counts, strict=True) for row in patch.rows(count)])

    @contextlib.contextmanager
    def _standing(self, rows: Sequence[RowChange]) -> Iterator[None]:
        if all(row == NO_CHANGE for row in rows):
            yield
            return
        layers, count = self._shelf.layers, len(rows)
        with contextlib.ExitStack() as stack:
            for path, places in _places(rows, lambda row: row.alone).items():
                stack.enter_context(keep_to_itself(layers[path], places, count))
            for path, places in _places(rows, lambda row: row.blurred).items():
                grid = layers[path.split(".transformer_blocks.")[0]]
                by_blur = {place: rows[place].blur for place in places}
                stack.enter_context(blur_queries(layers[path], grid, by_blur, count))
            for path, places in _places(rows, lambda row: row.left_out).items():
                stack.enter_context(leave_out(layers[path], places, count))
            factors = {place: row.freeu for place, row in enumerate(rows) if row.freeu is not None}
            if factors:
                stack.enter_context(weigh_features(layers[""], factors, count))
            yield


def _places(rows: Sequence[RowChange], paths_of: Callable[[RowChange], Sequence[str]]) -> dict[str, list[int]]:
    """Which samples are changed at each path."""
    found: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for path in paths_of(row):
            found.setdefault(path, []).append(place)
    return found


SHORT = {"mid": "mid_block", "down": "down_blocks", "up": "up_blocks"}


def find_attentions(shelf: ModuleShelf, names: str, label: str) -> tuple[str, ...]:
    """Paths of the self-attentions in the parts that `names` names, with commas between them.

    `mid`, `down.1`, `up.0.attentions.1` and so on, or a module's own path; diffusers' `down.block_1` is `down.1`.
    Raises `InvalidRequest` for one in which there is no self-attention.
    """
    known = [path for path in shelf.layers if path.endswith(".attn1")]
    found: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        first, *more = name.replace("block_", "").replace("attentions_", "attentions.").split(".")
        begin = ".".join((SHORT.get(first, first), *more)) if first != "mid" else "mid_block"
        inside = [path for path in known if path.startswith(begin + ".") or path == begin]
        if not inside:
            parts = sorted({path.split(".attentions")[0] for path in known})
            raise InvalidRequest(
                f"{label} names {name!r}, in which this model has no self-attention; it has some in "
                f"{', '.join(parts) or 'no part'} (mid, down.1, up.0.attentions.1 …)."
            )
        found.update(dict.fromkeys(inside))
    return tuple(found)


def find_blocks(shelf: ModuleShelf, numbers: str, label: str) -> tuple[str, ...]:
    """Paths of the transformer blocks of those numbers, with commas between them. Raises `InvalidRequest`."""
    count = sum(1 for path in shelf.layers if path.startswith("transformer_blocks.") and path.count(".") == 1)
    found: dict[str, Any] = {}
    for word in filter(None, (part.strip() for part in numbers.split(","))):
        if not word.isdecimal() or int(word) >= count:
            raise InvalidRequest(f"{label} names {word!r}; this model has the blocks 0 to {count - 1}.")
        found[f"transformer_blocks.{int(word)}"] = None
    return tuple(found)
