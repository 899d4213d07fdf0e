"""A denoiser's repeated blocks, compiled by torch, as a change that is taken back.

Only the blocks that a denoiser has many of are compiled, because all of one width share one compiled form; the rest of
the denoiser stays as it is. The compiler does not look for hooks, so a call with one inside a block computes plainly.
Networks need no hook there: the linear layers of the blocks become `OpenLinear` for the calls that have networks, and
what networks add is looked up when the compiled form runs, so other networks and weights never compile anew.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import textwrap
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from modules.device.base import DeviceHandler
from modules.memory.cost import group_of
from modules.memory.entry import standing_before

log = logging.getLogger(__name__)
MEASURE = "regional_compile"
BACKEND = "inductor"
FORMS = 64
"""Compiled forms that blocks of one kind may have; each width, and a single row, take one of their own."""
CALL = "_compiled_call_impl"
"""Where torch keeps the compiled form of a module."""

Adder = Callable[[Any, tuple[Any, ...], Tensor], Tensor]
"""A forward hook of a layer: the layer, its arguments and its output to another output."""

_numbers = itertools.count()
_layers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""Open layers by the number in their `place`: a compiled form can carry a tensor to where it is looked up, no layer."""


class OpenLinear(nn.Linear):
    """A linear layer to whose output is added, in a compiled form too, what `adder` says at the time of the call."""

    place: Tensor
    """The layer's number (1,), int64, on the CPU; no parameter and no buffer."""
    adder: Adder | None

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output with what is added."""
        said = super().forward(input)
        torch.ops.atelier.add_more(said, input, self.place)
        return said


@torch.library.custom_op("atelier::add_more", mutates_args=("said",))
def add_more(said: Tensor, given: Tensor, place: Tensor) -> None:
    """Add to `said`, in place, what the adder of the layer of that place says of `given`."""
    layer = _layers[int(place)]
    if layer.adder is not None:
        answer = layer.adder(layer, (given,), said)
        if answer is not said:
            said.copy_(answer)


class Regions:
    """The repeated blocks of one denoiser. Made once; used by the thread that runs forwards."""

    def __init__(self, denoiser: nn.Module) -> None:
        """Compiles nothing before the first call."""
        names = getattr(denoiser, "_repeated_blocks", None) or ()
        self._blocks = [part for part in denoiser.modules() if type(part).__name__ in names]
        self._parts = [part for block in self._blocks for part in block.modules()]
        self._linears = [part for part in self._parts if type(part) is nn.Linear]
        self._calls: list[Any] = []
        self._places: list[Tensor] = []
        self.stands = False
        """Calls go to the compiled forms at this moment."""
        self.failure = ""
        """Why the blocks compute plainly since some call, or empty."""

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Blocks answer in their compiled form until the block ends; forms that are there are kept for next time."""
        if not self._calls:
            for block in self._blocks:
                block.compile(backend=BACKEND, dynamic=True, recompile_limit=FORMS)
                self._calls.append(vars(block).pop(CALL))
        for block, call in zip(self._blocks, self._calls, strict=True):
            vars(block)[CALL] = call
        self.stands = True
        try:
            yield
        finally:
            self.stands = False
            for block in self._blocks:
                del vars(block)[CALL]

    def around(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the denoiser: compiled, or plain where something stands in a block or the compiler has failed."""
        if not self.failure and not self._changed():
            try:
                return original(*args, **kwargs)
            except torch._dynamo.exc.TorchDynamoException as error:
                self.failure = textwrap.shorten(str(error), 200)
                log.warning("compiling failed, so the denoiser computes plainly from here on: %s", self.failure)
        with torch.compiler.set_stance("force_eager"):
            return original(*args, **kwargs)

    def _changed(self) -> bool:
        """Whether some part has a hook or another `forward`, which the compiled form would pass by."""
        return any(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part) for part in self._parts)

    @contextlib.contextmanager
    def opened(self, adders: Mapping[Any, Adder]) -> Iterator[frozenset[Any]]:
        """Until the block ends, those of the layers that stand in the blocks have their adders; gives these layers.

        All linear layers of the blocks are opened, whichever have adders, so that there is one form with networks.
        """
        held = frozenset(adders).intersection(self._linears)
        if not held:
            yield held
            return
        if not self._places:
            for layer in self._linears:
                number = next(_numbers)
                _layers[number] = layer
                self._places.append(torch.tensor([number]))
        for layer, place in zip(self._linears, self._places, strict=True):
            vars(layer).update(place=place, adder=adders.get(layer))
            layer.__class__ = OpenLinear
        try:
            yield held
        finally:
            for layer in self._linears:
                layer.__class__ = nn.Linear
                del vars(layer)["place"], vars(layer)["adder"]


_known: weakref.WeakKeyDictionary[nn.Module, Regions] = weakref.WeakKeyDictionary()
"""The regions of denoisers that were compiled, for as long as these live: the forms are what took long."""


@contextlib.contextmanager
def opened(module: Any, adders: Mapping[Any, Adder]) -> Iterator[frozenset[Any]]:
    """`Regions.opened` of a denoiser whose blocks are compiled at this moment; no layer of any other module."""
    regions = _known.get(module)
    if regions is None or not regions.stands:
        yield frozenset()
        return
    with regions.opened(adders) as held:
        yield held


@contextlib.contextmanager
def regional_compile(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """The measure: denoisers whose classes name repeated blocks compute them compiled, others as they are."""
    with contextlib.ExitStack() as stack:
        for name, part in components.items():
            if group_of(name) == "denoiser" and getattr(part, "_repeated_blocks", None):
                regions = _known.setdefault(part, Regions(part))
                stack.enter_context(regions.standing())
                stack.enter_context(standing_before(part, regions.around))
        yield


def why_not(denoiser: Any, device: str) -> str:
    """Why that denoiser cannot be compiled for a device (torch's name of it), as a sentence; empty when it can."""
    kind = type(denoiser).__name__
    if not getattr(denoiser, "_repeated_blocks", None):
        return f"{kind} names no repeated blocks, so it was not compiled."
    regions = _known.get(denoiser)
    if regions is not None and regions.failure:
        return f"Compiling {kind} failed, so it computes plainly: {regions.failure}"
    if BACKEND == "inductor" and not _has_compiler(device):
        lacking = "C++ compiler" if torch.device(device).type == "cpu" else "working Triton"
        return f"There is no {lacking} here, so {kind} was not compiled."
    return ""


def _has_compiler(device: str) -> bool:
    if torch.device(device).type != "cpu":
        from torch.utils._triton import has_triton

        return has_triton()
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
