"""Networks beside a module, for a forward in which every sample may have others.

Nothing is written into the module: hooks add to each layer's output what the networks of each sample say, and leaving
takes the hooks away. So samples of different jobs share one forward, and there is nothing to restore.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modules.memory.compiled import opened
from modules.networks.blocks import Blocks
from modules.networks.changes import Change
from modules.networks.loading import LoadedNetwork


@dataclass(frozen=True, slots=True)
class Share:
    """One network with its weight for one sample."""

    network: LoadedNetwork
    weight: float
    blocks: tuple[float, ...] = ()
    parts: tuple[tuple[str, float], ...] = ()

    @property
    def kind(self) -> Hashable:
        """Equal for samples whose changes of a layer differ by their weight at most."""
        return self.network.identity, self.blocks, self.parts


Sample = tuple[Share, ...]
"""All networks of one sample."""
NONE: Sample = ()


class RowNetworks:
    """A patch of the multiplexer for one call: the networks of each of its samples.

    Calls that carry it may be merged whatever their networks are; `gathered` makes the one patch of the merged call.
    """

    signature: Hashable = "networks"

    def __init__(self, shelf: ModuleShelf, part: str, samples: Callable[[], Sequence[Sample]]) -> None:
        """`part` names the component that `shelf` is of. `samples` is asked when the call runs; its answer is repeated
        to the batch's length, as guidance repeats the pictures."""
        self._shelf, self._part, self._samples = shelf, part, samples

    @property
    def identity(self) -> Hashable:
        """Networks and weights, as they are now."""
        return tuple(tuple((share.kind, share.weight) for share in sample) for sample in self._samples())

    def chosen(self, rows: Sequence[int]) -> RowNetworks:
        """For a call whose samples are these rows of another; a row past the end counts on from the first."""

        def samples() -> list[Sample]:
            given = self._samples()
            return [given[row % len(given)] for row in rows] if given else []

        return RowNetworks(self._shelf, self._part, samples)

    def rows(self, count: int) -> list[Sample]:
        """The networks of each of `count` samples."""
        given = self._samples()
        if not given:
            return [NONE] * count
        return [given[number % len(given)] for number in range(count)]

    def gathered(
        self, patches: Sequence[RowNetworks], counts: Sequence[int]
    ) -> contextlib.AbstractContextManager[None]:
        """To be entered round a call made of the calls of `patches`, of so many samples each."""
        samples = [sample for patch, count in zip(patches, counts, strict=True) for sample in patch.rows(count)]
        return self._standing(samples)

    @contextlib.contextmanager
    def _standing(self, samples: Sequence[Sample]) -> Iterator[None]:
        terms = self._terms(samples)
        if not terms:
            yield
            return
        with contextlib.ExitStack() as stack:
            adders = {self._shelf.layers[path]: _Adder(found, len(samples)) for path, found in terms.items()}
            held = stack.enter_context(opened(self._shelf.layers[""], adders))
            for layer, adder in adders.items():
                if layer not in held:
                    stack.callback(layer.register_forward_hook(adder).remove)
            yield

    def _terms(self, samples: Sequence[Sample]) -> dict[str, list[Term]]:
        """What is to be added at each layer."""
        kinds: dict[Hashable, tuple[Share, dict[int, float]]] = {}
        for row, sample in enumerate(samples):
            for share in sample:
                if share.weight != 0:
                    _, weights = kinds.setdefault(share.kind, (share, {}))
                    weights[row] = weights.get(row, 0.0) + share.weight
        terms: dict[str, list[Term]] = {}
        for share, weights in kinds.values():
            for path, change in share.network.changes.get(self._part, {}).items():
                factor = self._shelf.factor(path, share) if share.blocks or share.parts else 1.0
                if factor != 0:
                    scaled = {row: weight * factor for row, weight in weights.items()}
                    terms.setdefault(path, []).append(Term(change, scaled))
        return terms


class ModuleShelf:
    """A module's layers by path and what is known of its blocks; made once for a loaded module."""

    def __init__(self, module: Any, *, denoiser: bool) -> None:
        self._module: weakref.ref[Any] = weakref.ref(module)
        self._layers: Mapping[str, Any] | None = None
        self.blocks = Blocks(module) if denoiser else None
        self._factors: dict[Hashable, float] = {}

    @property
    def layers(self) -> Mapping[str, Any]:
        """Layers by path."""
        if self._layers is None:
            self._layers = weakref.WeakValueDictionary(self._module().named_modules())  # type: ignore[union-attr]
        return self._layers

    def factor(self, path: str, share: Share) -> float:
        """What the blocks of a share say of a layer."""
        if self.blocks is None:
            return 1.0  # the text encoders' factor is in the weight
        key = (path, share.blocks, share.parts)
        if key not in self._factors:
            if len(self._factors) > 100_000:
                self._factors.clear()
            self._factors[key] = self.blocks.factor(path, share.blocks, dict(share.parts))
        return self._factors[key]


@dataclass(frozen=True, slots=True)
class Term:
    """One change of one layer, and its weight for the rows that have it."""

    change: Change
    weights: Mapping[int, float]


class _Adder:
    """The hook of one layer."""

    __slots__ = ("_count", "_terms")

    def __init__(self, terms: Sequence[Term], count: int) -> None:
        self._terms, self._count = terms, count

    def __call__(self, layer: Any, given: tuple[Any, ...], output: Tensor) -> Tensor:
        """The output with what the networks add, rows apart."""
        for term in self._terms:
            output = _add(term, layer, given[0], output, self._count)
        return output


def _add(term: Term, layer: Any, given: Tensor, output: Tensor, count: int) -> Tensor:
    weights = term.weights
    same = len(set(weights.values())) == 1
    if len(weights) == count and same:
        return torch.add(output, term.change.answer(layer, given, output), alpha=next(iter(weights.values())))
    length = output.shape[0]
    if length % count or given.shape[0] != length:
        raise RuntimeError(f"a layer has {length} rows for {count} samples, so their networks cannot be told apart")
    times = length // count
    rows = [row * times + part for row in sorted(weights) for part in range(times)]
    values = [weights[row] for row in sorted(weights) for _ in range(times)]
    where: Any = slice(rows[0], rows[-1] + 1)
    if rows[-1] + 1 - rows[0] != len(rows):
        where = torch.tensor(rows, device=output.device)
    answer = term.change.answer(layer, given[where.to(given.device) if torch.is_tensor(where) else where], output)
    scale = torch.tensor(values, device=output.device, dtype=output.dtype).reshape(-1, *[1] * (output.ndim - 1))
    # The output is the layer's own, made by this forward, so it may be written to.
    output[where] += scale * answer
    return output
