"""What a lane's pipeline sees in place of a shared module."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput

from modules.processing_diffusers.multiplexer.admission import Lane
from modules.processing_diffusers.multiplexer.call import Patch, RowPatch, Target, by_rows, count_samples, is_batched
from modules.processing_diffusers.multiplexer.core import Multiplexer
from modules.processing_diffusers.multiplexer.picking import pick
from modules.processing_diffusers.tiles import Beside, Tiles


@dataclass(frozen=True, slots=True)
class Port:
    """One lane's way to the multiplexer."""

    multiplexer: Multiplexer
    lane: Lane
    limit: int = 16
    """Largest merged batch, in samples."""
    patches: tuple[Patch | RowPatch, ...] = ()

    def call(self, target: Target, /, **arguments: Any) -> Any:
        """Run `target` and wait for its output."""
        return self.carry(target, arguments, self.patches)

    def carry(self, target: Target, arguments: dict[str, Any], patches: tuple[Patch | RowPatch, ...]) -> Any:
        """`call` with these patches in place of the port's own."""
        return self.multiplexer.call(self.lane, target, arguments, limit=self.limit, patches=patches)

    def rest(self) -> None:
        """Nothing heavy comes from this lane for a while, so nobody need wait for it."""
        self.multiplexer.leave(self.lane)


def target_of(module: Any, name: str, *, stepped: bool = False, repeated: str = "") -> Target:
    """A target for a module's forward. Make one per loaded module: calls of different targets are never merged.

    `stepped` and `repeated` are those of `Target`.
    """
    forward = inspect.signature(type(module).forward).parameters
    positions = tuple(key for key in forward if key != "self")
    return Target(name, module, module, positions, stepped, repeated)


class Words(Protocol):
    """Whoever has the words of each call."""

    def conduct(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        """The answer to `arguments` with other words in them, by as many calls as that takes."""


class Side(Protocol):
    """Whoever stands beside a denoiser and adds to each of its calls."""

    def within(self, window: Any, factor: int) -> Any:
        """The same for one tile of the canvas, of `factor` pixels to a cell."""

    def residuals(self, given: Mapping[str, Any], rows: Sequence[int], total: int) -> dict[str, Any]:
        """Further arguments of a call; `rows` says which of the pipeline's `total` rows each sample is."""


class Company(Protocol):
    """Whoever puts further samples beside those of a denoiser's call, for these to look at."""

    @property
    def placed(self) -> bool:
        """What it puts there depends on the place on the canvas."""

    def within(self, window: Any, factor: int) -> Any:
        """The same for one tile of the canvas, of `factor` pixels to a cell."""

    def join(
        self, given: Mapping[str, Any], rows: Sequence[int], total: int
    ) -> tuple[dict[str, Any], list[int], tuple[Patch | RowPatch, ...]]:
        """Arguments of the wider call; for each further sample, which stand last, the place of the one that it is for;
        and patches for the call, as many for every call. `rows` says which of the pipeline's `total` rows each sample
        is."""


EXACT = frozenset({"t", "timestep", "timesteps", "guidance", "time_ids", "img_ids", "txt_ids"})
"""Numbers that a narrow float would round, such as time step 999; models cast them themselves after embedding them."""


ROWS = "rows of the lane's call"
"""Beside the arguments of a call on its way: which of the rows that the pipeline asked for each sample is."""
KINDS = "kinds of samples"
"""Beside the arguments, too: what each sample is asked for; 0 is the ordinary answer, which all have without it."""
UNSEEN = -1
"""The kind of samples with the words of the negative prompt; all others but the first rows of a guided call have those
of the prompt."""


class Wider(Protocol):
    """Whoever asks for more than the pipeline does."""

    def ask(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        """The answer to `arguments`, by a call that may have further rows."""


@runtime_checkable
class KindPatch(Protocol):
    """A `RowPatch` that does something else for samples of other kinds."""

    def of_kinds(self, kinds: Sequence[int]) -> Any:
        """The patch for a call whose samples are of these kinds."""


class StandIn:
    """Looks like the module, but its call goes through the multiplexer.

    Towards the pipeline it computes in fp32 (`dtype`), so that the sampler's own arithmetic stays exact; what goes into
    the module is cast to the precision it was placed in. `guide`, when given, sees and may change a denoiser's output.
    """

    def __init__(
        self,
        target: Target,
        port: Port,
        *,
        device: torch.device,
        dtype: torch.dtype,
        guide: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self._target = target
        self._port = port
        self._compute = dtype
        self._guide = guide
        self._heard: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._words: Words | None = None
        self._side: Side | None = None
        self._company: Company | None = None
        self._total = 0
        self._sparing: Callable[[], bool] | None = None
        self._wider: Wider | None = None
        self._pair: float | None = None
        self._tiles: Tiles | None = None
        self._cut: tuple[Beside, Beside] | None = None
        self.take: Callable[[dict[str, Any]], dict[str, Any]] = _as_they_are
        """Brings the pipeline's arguments to tensors with a row a sample."""
        self.give: Callable[[torch.Tensor], torch.Tensor] | None = None
        """Brings the answer to what the pipeline takes for one."""
        self.mix: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] = _on_a_line
        """What guidance makes of two answers where rows are paired."""
        self.device = device
        self.dtype = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_target"].module, name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        arguments = self.take(dict(zip(self._target.positions, given, strict=False)) | named)
        if self._pair is not None:
            samples = count_samples(arguments)
            twice = [*range(samples), *range(samples)]
            arguments = {name: pick(value, twice, samples, name) for name, value in arguments.items()}
        self._total = count_samples(arguments)
        # Without these, every row is the one that was asked for, which patches and whoever adds take for granted.
        told = self._side is not None or self._company is not None or any(map(by_rows, self._port.patches))
        if told and not (self._words is None and self._sparing is None and self._wider is None):
            arguments[ROWS] = torch.arange(self._total)
        if self._sparing is not None and self._sparing():
            output = _twice(self._widen(_second_half(arguments)))
        else:
            output = self._widen(arguments)
        if self._heard is not None:
            output = (self._heard(output[0]), *output[1:])
        if self._guide is not None:
            output = (self._guide(output[0]), *output[1:])
        if self._pair is not None:
            free, bound = output[0].chunk(2)
            output = (self.mix(free, bound, self._pair),)
        found = output if self.give is None else (self.give(output[0]), *output[1:])
        # Some pipelines ask for an object and read its `sample`.
        if named.get("return_dict") is True and type(found) is tuple:
            return Transformer2DModelOutput(sample=found[0])
        return found

    def _widen(self, arguments: dict[str, Any]) -> Any:
        return self._ask(arguments) if self._wider is None else self._wider.ask(self._ask, arguments)

    def _ask(self, arguments: dict[str, Any]) -> Any:
        return self._forward(arguments) if self._words is None else self._words.conduct(self._forward, arguments)

    def _forward(self, arguments: dict[str, Any]) -> Any:
        if self._tiles is None:
            return self._call(arguments, self._side, self._company)
        tiles, count = self._tiles, count_samples(arguments)
        if ROWS not in arguments:  # tiles of one row side by side are still that row
            arguments = {**arguments, ROWS: torch.arange(count)}
        placed = self._side is not None or (self._company is not None and self._company.placed)
        side, company = self._cut = self._cut or (Beside(self._side), Beside(self._company))

        def ask(given: dict[str, Any], window: Any) -> torch.Tensor:
            if not placed:
                answer: torch.Tensor = self._call(given, self._side, self._company)[0]
                return answer
            cut = (one.within(window, tiles.factor) for one in (side, company))
            part: torch.Tensor = self._call(given, *cut)[0]
            return part

        return (tiles.paint(ask, arguments, 1 if placed else max(self._port.limit // count, 1)),)

    def _call(self, arguments: dict[str, Any], side: Side | None, company: Company | None) -> Any:
        rows, kinds, patches = arguments.get(ROWS), arguments.get(KINDS), self._port.patches
        given = {key: self._down(key, value) for key, value in arguments.items() if key not in (ROWS, KINDS)}
        numbers = list(range(self._total)) if rows is None else rows.tolist()
        count, beside = len(numbers), list[int]()
        if side is not None:
            given |= side.residuals(given, numbers, self._total)
        if company is not None:
            given, beside, further = company.join(given, numbers, self._total)
            patches, numbers = (*patches, *further), [*numbers, *(numbers[place] for place in beside)]
        if rows is not None or beside:
            patches = tuple(one.chosen(numbers) if by_rows(one) else one for one in patches)
        if kinds is not None:
            asked = [*kinds.tolist(), *[0] * len(beside)]
            patches = tuple(one.of_kinds(asked) if isinstance(one, KindPatch) else one for one in patches)
        output = _up(self._port.carry(self._target, given, patches))
        return (output[0][:count], *output[1:]) if beside else output

    @property
    def signature(self) -> Hashable:
        """What changes the module for this lane's calls: with equal ones it says the same."""
        return tuple(getattr(patch, "identity", patch.signature) for patch in self._port.patches)

    @contextlib.contextmanager
    def worded_by(self, words: Words | None) -> Iterator[None]:
        """Let `words` conduct each call for a while; None leaves them to the caller."""
        before = self._words
        self._words = words
        try:
            yield
        finally:
            self._words = before

    @contextlib.contextmanager
    def steered_by(self, side: Side | None) -> Iterator[None]:
        """Let `side` add to each call for a while; None adds nothing."""
        before = self._side
        self._side = side
        try:
            yield
        finally:
            self._side = before

    @contextlib.contextmanager
    def accompanied_by(self, company: Company | None) -> Iterator[None]:
        """Let `company` put samples beside those of each call for a while; None puts none there."""
        before = self._company
        self._company = company
        try:
            yield
        finally:
            self._company = before

    @contextlib.contextmanager
    def tiled_by(self, tiles: Tiles | None) -> Iterator[None]:
        """Let the module see each canvas by these tiles for a while; None lets it see all of it at once."""
        before = self._port, self._tiles
        if tiles is not None:
            patches = tuple(one for one in self._port.patches if not getattr(one, "whole", False))
            self._port, self._tiles, self._cut = replace(self._port, patches=patches), tiles, None
        try:
            yield
        finally:
            (self._port, self._tiles), self._cut = before, None

    @contextlib.contextmanager
    def heard_by(self, ear: Callable[[torch.Tensor], torch.Tensor] | None) -> Iterator[None]:
        """Let `ear` see and change each answer before guidance does, for a while; None leaves them as they are."""
        before = self._heard
        self._heard = ear
        try:
            yield
        finally:
            self._heard = before

    @contextlib.contextmanager
    def guided_by(
        self, guide: Callable[[torch.Tensor], torch.Tensor] | None, sparing: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Let another `guide` see the output for a while; None changes nothing.

        `sparing` is asked before each call whether the first half of the batch, what is not wanted, is left out; the
        answer to the second half then stands for both.
        """
        before = self._guide
        self._guide, self._sparing = guide or before, sparing
        try:
            yield
        finally:
            self._guide, self._sparing = before, None

    @contextlib.contextmanager
    def paired_at(self, scale: float | None) -> Iterator[None]:
        """Ask for every row twice for a while, first for what is not wanted, and give what guidance at that scale makes
        of the two answers; None leaves guidance to the pipeline. The words of both have to come from `worded_by`."""
        before = self._pair
        self._pair = scale
        try:
            yield
        finally:
            self._pair = before

    @contextlib.contextmanager
    def widened_by(self, wider: Wider | None) -> Iterator[None]:
        """Let `wider` ask for further rows for a while; None asks for none."""
        before = self._wider
        self._wider = wider
        try:
            yield
        finally:
            self._wider = before

    @contextlib.contextmanager
    def carrying(self, patches: tuple[Patch | RowPatch, ...]) -> Iterator[None]:
        """Let calls carry these patches, besides those that they carry anyway, for a while."""
        before = self._port
        self._port = replace(before, patches=(*before.patches, *patches))
        try:
            yield
        finally:
            self._port = before

    def cache_context(self, name: str, **told: Any) -> contextlib.AbstractContextManager[None]:
        """Lanes share the module, so none of them may switch a state inside it."""
        return contextlib.nullcontext()

    def _reset_stateful_cache(self) -> None:
        """Nothing to reset, as nothing is kept per lane."""

    def _down(self, name: str, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            narrow = value.is_floating_point() and name not in EXACT
            return value.to(self.device, self._compute if narrow else value.dtype)
        if isinstance(value, dict):
            return {key: self._down(key, item) for key, item in value.items()}
        return value


def _on_a_line(free: torch.Tensor, bound: torch.Tensor, scale: float) -> torch.Tensor:
    return free + scale * (bound - free)


def _as_they_are(arguments: dict[str, Any]) -> dict[str, Any]:
    """Most pipelines call their denoiser with tensors anyway."""
    return arguments


def _second_half(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a guided call for what is wanted alone: the second half of every tensor with a row a sample."""
    samples = count_samples(arguments)
    return {key: _halved(key, value, samples) for key, value in arguments.items()}


def _halved(name: str, value: Any, samples: int) -> Any:
    if isinstance(value, torch.Tensor):
        return value[samples // 2 :] if is_batched(name, value, samples) else value
    if isinstance(value, Mapping):
        return {key: _halved(key, item, samples) for key, item in value.items()}
    return value


def _twice(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return torch.cat([output, output])
    return tuple(_twice(item) for item in output) if isinstance(output, tuple) else output


def _up(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, tuple):
        return tuple(_up(item) for item in output)
    return output
