"""Pictures that speak beside the words of some samples of a call, in the cross-attentions of a UNet."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import interpolate, scaled_dot_product_attention

from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.attention import rows_of


@dataclass(frozen=True, eq=False, slots=True)
class Speech:
    """What one picture says to one sample."""

    said: Sequence[torch.Tensor]
    """Keys and values of each cross-attention in turn, (tokens, width)."""
    weights: Sequence[float]
    """How much it counts in each."""
    region: torch.Tensor | None = None
    """(height, width) in cells of the latents: 1 where it counts; None is everywhere."""


Speeches = Mapping[int, Sequence[Speech]]
"""By the places of a call's samples."""
NO_SPEECHES: Speeches = {}


def find_cross_attentions(shelf: ModuleShelf) -> tuple[str, ...]:
    """Their paths in the order in which IP-Adapters number them, which is that of diffusers' own list."""
    return tuple(path for path in shelf.layers if path.endswith(".attn2"))


class RowSpeeches:
    """A patch of the multiplexer for one call: which pictures speak to each of its samples.

    Decoupled cross-attention (Ye et al., arXiv:2308.06721): what a picture says is added to what the words say. Hooks
    stand for the length of the call and are taken away after it.
    """

    signature: Hashable = "speeches"

    def __init__(self, shelf: ModuleShelf, speeches: Speeches = NO_SPEECHES) -> None:
        """`speeches` goes by the places of the call's own samples."""
        self._shelf, self._speeches = shelf, speeches

    @property
    def identity(self) -> Hashable:
        """Who speaks to whom."""
        return tuple((place, tuple(map(id, each))) for place, each in self._speeches.items())

    def chosen(self, rows: Sequence[int]) -> RowSpeeches:
        """The same: it is made for the very call that carries it."""
        return self

    def gathered(self, patches: Sequence[RowSpeeches], counts: Sequence[int]) -> AbstractContextManager[None]:
        """To be entered round a call made of the calls of `patches`, of so many samples each."""
        speeches: dict[int, Sequence[Speech]] = {}
        begin = 0
        for patch, count in zip(patches, counts, strict=True):
            speeches.update({begin + place: each for place, each in patch._speeches.items()})
            begin += count
        return self._standing(speeches, begin)

    @contextlib.contextmanager
    def _standing(self, speeches: Speeches, count: int) -> Iterator[None]:
        if not speeches:
            yield
            return
        layers = self._shelf.layers
        with contextlib.ExitStack() as stack:
            for number, path in enumerate(find_cross_attentions(self._shelf)):
                for group in _groups(speeches, number):
                    stack.enter_context(_speak(layers[path], number, group, count))
            yield


def _groups(speeches: Speeches, number: int) -> Iterator[dict[int, Speech]]:
    """Who speaks in an attention, at most one to each sample and all in equally many tokens."""
    found: dict[tuple[int, int], dict[int, Speech]] = {}
    for place, each in speeches.items():
        for turn, speech in enumerate(each):
            if speech.weights[number] != 0:
                found.setdefault((turn, speech.said[2 * number].shape[0]), {})[place] = speech
    yield from found.values()


@contextlib.contextmanager
def _speak(attention: Any, number: int, group: Mapping[int, Speech], count: int) -> Iterator[None]:
    """Add what the group says to what comes out of an attention for its samples."""
    seen: list[torch.Tensor] = []

    def remember(layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> None:
        seen[:] = [output]

    def add(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed, query = given[0].clone(), seen.pop()
        where = rows_of(list(group), count, mixed)
        key, value = (
            torch.stack([speech.said[2 * number + part] for speech in group.values()]).to(query) for part in (0, 1)
        )
        query, key, value = (
            one.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for one in (query[where], key, value)
        )
        said = scaled_dot_product_attention(query, key, value, scale=attention.scale).transpose(1, 2).flatten(2)
        shares = torch.stack([_share(speech, number, said) for speech in group.values()])
        mixed[where] += (said * shares).to(mixed.dtype)
        return (mixed, *given[1:])

    with contextlib.ExitStack() as stack:
        stack.callback(attention.to_q.register_forward_hook(remember).remove)
        stack.callback(attention.to_out[0].register_forward_pre_hook(add).remove)
        yield


def _share(speech: Speech, number: int, said: torch.Tensor) -> torch.Tensor:
    """How much it counts at each place of the picture, (places, 1)."""
    places, weight = said.shape[1], speech.weights[number]
    if speech.region is None:
        return said.new_full((places, 1), weight)
    height, width = speech.region.shape
    while height * width > places:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != places:
        raise RuntimeError(f"{places} places came for a region of {tuple(speech.region.shape)} cells")
    shrunk = interpolate(speech.region[None, None], size=(height, width), mode="area")
    return weight * shrunk.reshape(-1, 1).to(said)
