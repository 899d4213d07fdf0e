"""Which samples of a call look at which others, and in which layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.sharing import (
    Look,
    Looks,
    hold_queries,
    share_attention,
    share_statistics,
)

Ranked = tuple[tuple[str, float], ...]
"""Paths of layers, each with the weight above which a look counts there."""
UPPER_SHARE = 2 / 3
"""Of the layers on the way up, those whose features are spread anew."""
SPREAD_WEIGHT = 2.0
"""Weight at which all layers that may be spread anew are."""


@dataclass(frozen=True, slots=True)
class SharePlaces:
    """Layers of a denoiser in which samples may look at others.

    A weight chooses how many of them, as in sd-webui-controlnet: self-attentions from the widest on, all of them at 1;
    features from the middle and the ends next to it on, all of them at 2.
    """

    attention: Ranked
    statistics: Ranked


def find_places(shelf: ModuleShelf) -> SharePlaces:
    """Those of a UNet."""
    layers = shelf.layers
    known = [
        path
        for part in ("down_blocks.", "mid_block.", "up_blocks.")
        for path in layers
        if path.startswith(part) and path.endswith(".attn1")
    ]
    known.sort(key=lambda path: -layers[path].query_dim)
    attention = tuple((path, place / len(known)) for place, path in enumerate(known))
    down = [path for stage, path in _stages(layers, "down_blocks") if stage > 0]
    up = [path for _, path in _stages(layers, "up_blocks")]
    up = up[: round(len(up) * UPPER_SHARE)]
    statistics = (
        ("mid_block", 0.0),
        *((path, SPREAD_WEIGHT * (1 - place / len(down))) for place, path in enumerate(down)),
        *((path, SPREAD_WEIGHT * place / len(up)) for place, path in enumerate(up)),
    )
    return SharePlaces(attention, statistics)


def _stages(layers: Mapping[str, object], part: str) -> Iterator[tuple[int, str]]:
    """The layers of one way in order, each with the number of its block: attentions where there are such, else what
    comes before them."""
    for path in layers:
        words = path.split(".")
        if len(words) == 4 and words[0] == part and words[2] == "resnets":
            after = ".".join((*words[:2], "attentions", words[3]))
            yield int(words[1]), after if after in layers else path


NO_LOOKS: Looks = {}


class RowReferences:
    """A patch of the multiplexer for one call: what each of its samples looks at.

    Hooks stand for the length of the call and are taken away after it. Samples that look at nothing are as they would
    be without any of this.
    """

    signature: Hashable = "references"

    def __init__(self, shelf: ModuleShelf, places: Callable[[], SharePlaces], looks: Looks = NO_LOOKS) -> None:
        """`looks` goes by the places of the call's own samples; `places` is asked where there are any."""
        self._shelf, self._places, self._looks = shelf, places, looks

    @property
    def identity(self) -> Hashable:
        """What is looked at, and how."""
        return tuple((place, tuple(each)) for place, each in self._looks.items())

    def chosen(self, rows: Sequence[int]) -> RowReferences:
        """The same: it is made for the very call that carries it."""
        return self

    def gathered(self, patches: Sequence[RowReferences], counts: Sequence[int]) -> AbstractContextManager[None]:
        """To be entered round a call made of the calls of `patches`, of so many samples each."""
        looks: dict[int, Sequence[Look]] = {}
        begin = 0
        for patch, count in zip(patches, counts, strict=True):
            for place, each in patch._looks.items():
                looks[begin + place] = [replace(look, source=begin + look.source) for look in each]
            begin += count
        return self._standing(looks, begin)

    @contextlib.contextmanager
    def _standing(self, looks: Looks, count: int) -> Iterator[None]:
        if not looks:
            yield
            return
        places, layers = self._places(), self._shelf.layers
        with contextlib.ExitStack() as stack:
            if held := _above(0.0, looks, lambda look: look.queries > 0):
                for path, _ in places.attention:
                    stack.enter_context(hold_queries(layers[path], held, count))
            for path, rank in places.attention:
                if found := _above(rank, looks, lambda look: look.attention):
                    stack.enter_context(share_attention(layers[path], found, count))
            for path, rank in places.statistics:
                if found := _above(rank, looks, lambda look: look.statistics):
                    stack.enter_context(share_statistics(layers[path], found, count))
            yield


def _above(rank: float, looks: Looks, wanted: Callable[[Look], bool]) -> Looks:
    """What counts in a layer of that rank."""
    found = {place: [look for look in each if wanted(look) and look.weight > rank] for place, each in looks.items()}
    return {place: each for place, each in found.items() if each}
