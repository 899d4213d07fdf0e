"""What a lane's pipeline sees in place of a shared module."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from modules.processing_diffusers.multiplexer.admission import Lane
from modules.processing_diffusers.multiplexer.call import Patch, RowPatch, Target
from modules.processing_diffusers.multiplexer.core import Multiplexer


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
        return self.multiplexer.call(self.lane, target, arguments, limit=self.limit, patches=self.patches)

    def rest(self) -> None:
        """Nothing heavy comes from this lane for a while, so nobody need wait for it."""
        self.multiplexer.leave(self.lane)


def target_of(module: Any, name: str, *, stepped: bool = False) -> Target:
    """A target for a module's forward. Make one per loaded module: calls of different targets are never merged."""
    forward = inspect.signature(type(module).forward).parameters
    positions = tuple(key for key in forward if key != "self")
    return Target(name, module, module, positions, stepped)


EXACT = frozenset({"timestep", "timesteps", "guidance", "time_ids", "img_ids", "txt_ids"})
"""Numbers that a narrow float would round, such as time step 999; models cast them themselves after embedding them."""


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
        self.device = device
        self.dtype = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_target"].module, name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        arguments = dict(zip(self._target.positions, given, strict=False)) | named
        output = self._port.call(self._target, **{key: self._down(key, value) for key, value in arguments.items()})
        output = _up(output)
        if self._guide is None:
            return output
        return (self._guide(output[0]), *output[1:])

    @contextlib.contextmanager
    def guided_by(self, guide: Callable[[torch.Tensor], torch.Tensor] | None) -> Iterator[None]:
        """Let another `guide` see the output for a while; None changes nothing."""
        before = self._guide
        self._guide = guide or before
        try:
            yield
        finally:
            self._guide = before

    @contextlib.contextmanager
    def carrying(self, patches: tuple[Patch | RowPatch, ...]) -> Iterator[None]:
        """Let calls carry these patches, besides those that they carry anyway, for a while."""
        before = self._port
        self._port = replace(before, patches=(*before.patches, *patches))
        try:
            yield
        finally:
            self._port = before

    def cache_context(self, name: str) -> contextlib.AbstractContextManager[None]:
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


def _up(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, tuple):
        return tuple(_up(item) for item in output)
    return output
