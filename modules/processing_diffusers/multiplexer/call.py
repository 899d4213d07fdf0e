"""One lane's call of a heavy module, and the key under which calls of several lanes may become one."""

from __future__ import annotations

import contextvars
import hashlib
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from typing_extensions import TypeIs

PER_SAMPLE = frozenset({"timestep", "timesteps"})
"""Arguments that may be given as one number for the whole batch; they are spread over the samples before merging."""
NEVER_BATCHED = frozenset({"img_ids", "txt_ids", "image_rotary_emb"})
"""Tensors without a batch axis: calls merge only where they are equal."""


class Patch(Protocol):
    """A change of a module that holds for the calls that carry it, and for no others."""

    @property
    def signature(self) -> Hashable:
        """Equal signatures change a module in the same way, so that their calls may be merged."""

    def applied(self, module: Any) -> AbstractContextManager[None]:
        """Change `module` for the length of a block and bring every value back afterwards."""


class RowPatch(Protocol):
    """A change that may be another one for every sample, so that calls that carry different ones are merged all the
    same. It never touches the module's weights."""

    @property
    def signature(self) -> Hashable:
        """The same for all of its kind."""

    @property
    def identity(self) -> Hashable:
        """Equal for calls that say the same of the same arguments."""

    def chosen(self, rows: Sequence[int]) -> RowPatch:
        """The same for a call whose samples are these rows of the call that this one was made for."""

    def gathered(self, patches: Sequence[Any], counts: Sequence[int]) -> AbstractContextManager[None]:
        """Round a call made of calls that carry `patches`, all of this kind, with so many samples each."""


def by_rows(patch: Patch | RowPatch) -> TypeIs[RowPatch]:
    """Whether a patch may be another one for every sample.

    Asked several times a step of every lane, where `isinstance` of a protocol would take longer than all the rest of
    a call's way to the executor.
    """
    return hasattr(patch, "gathered")


@dataclass(frozen=True, eq=False, slots=True)
class Target:
    """Something heavy that lanes share. Calls of the same target object may be merged.

    `function` takes keyword arguments only and gives a tensor, or a tuple, list, mapping or `ModelOutput` of tensors
    whose first axis is the batch.
    """

    name: str
    """For figures and messages, e.g. `unet`."""
    function: Callable[..., Any]
    module: Any
    """What patches are applied to."""
    positions: tuple[str, ...] = ()
    """Names of positional arguments."""
    stepped: bool = False
    """A job calls it once a step, so that jobs that step together call it together."""
    repeated: str = ""
    """Name of an argument (samples, tokens, width) that says the same when all of its tokens are there several times,
    so that calls with texts of unequal length may be merged; empty for none."""


class Call:
    """A forward that a lane waits for. Filled in by the executor thread."""

    __slots__ = (
        *("arguments", "context", "done", "error", "key", "lane", "length"),
        *("limit", "patches", "result", "samples", "target"),
    )

    def __init__(
        self,
        target: Target,
        arguments: Mapping[str, Any],
        *,
        lane: Any,
        limit: int,
        patches: tuple[Patch | RowPatch, ...] = (),
    ) -> None:
        self.target = target
        self.lane = lane
        self.limit = limit
        self.patches = patches
        self.samples = count_samples(arguments)
        self.arguments = {name: _spread(name, value, self.samples) for name, value in arguments.items()}
        signatures = tuple(patch.signature for patch in patches)
        self.length = _tokens(self.arguments.get(target.repeated), self.samples)
        """Tokens of the argument that may be repeated; 0 where there is none."""
        told = {name: value[:, :0] if self._repeats(name) else value for name, value in self.arguments.items()}
        self.key: Hashable = (id(target), signatures, describe(told, self.samples, lane.digests))
        # Of the lane's thread: what is logged while the call runs belongs to its job.
        self.context = contextvars.copy_context()
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def argument(self, name: str, length: int) -> Any:
        """An argument, texts repeated to `length` tokens, which is a multiple of the call's own."""
        value = self.arguments[name]
        return value.repeat(1, length // self.length, 1) if self._repeats(name) and length != self.length else value

    def _repeats(self, name: str) -> bool:
        return self.length > 0 and name == self.target.repeated


def count_samples(arguments: Mapping[str, Any]) -> int:
    """The length of the batch axis: that of the first tensor argument that has one."""
    for value in arguments.values():
        if isinstance(value, torch.Tensor) and value.ndim > 0:
            return int(value.shape[0])
    return 1


def is_batched(name: str, value: torch.Tensor, samples: int) -> bool:
    """Whether a tensor argument has one row per sample."""
    return value.ndim > 0 and value.shape[0] == samples and name not in NEVER_BATCHED


def _spread(name: str, value: Any, samples: int) -> Any:
    """A time step as one float per sample, as lanes stand at different steps (models read them as floats anyway)."""
    if name not in PER_SAMPLE or value is None:
        return value
    tensor = torch.as_tensor(value).to(torch.float32)
    return tensor.reshape(-1).expand(samples) if tensor.numel() == 1 else tensor


def _tokens(value: Any, samples: int) -> int:
    text = isinstance(value, torch.Tensor) and value.ndim == 3 and value.shape[0] == samples
    return int(value.shape[1]) if text else 0


class Digests:
    """Contents of small tensors without a batch axis, hashed once per tensor object of a lane."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], bytes]] = {}

    def of(self, tensor: torch.Tensor) -> bytes:
        """A digest of shape, type and values."""
        entry = self._known.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            return entry[1]
        flat = tensor.detach().to("cpu").contiguous()
        digest = hashlib.sha1(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"").digest()
        if len(self._known) > 64:
            self._known.clear()
        self._known[id(tensor)] = (weakref.ref(tensor), digest)
        return digest


def describe(value: Any, samples: int, digests: Digests, name: str = "") -> Hashable:
    """What has to be equal for two arguments to stand side by side in one batch."""
    if isinstance(value, torch.Tensor):
        kind = (str(value.dtype), str(value.device))
        if is_batched(name, value, samples):
            return ("batched", kind, tuple(value.shape[1:]))
        return ("whole", kind, tuple(value.shape), digests.of(value))
    if isinstance(value, Mapping):
        return tuple((key, describe(item, samples, digests, str(key))) for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return (type(value).__name__, tuple(describe(item, samples, digests, name) for item in value))
    if value is None or isinstance(value, bool | int | float | str):
        return (type(value).__name__, value)
    return ("object", id(value))
