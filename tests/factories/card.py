"""A device of its own without hardware: `card:0`, whose tensors are computed on the CPU and counted.

torch keeps a place for backends written elsewhere (PrivateUse1), and lets one be written in Python. This one holds each
tensor's numbers in a CPU tensor that nobody else sees. It is a device in what matters to the code that moves weights:
a tensor says `card:0`, an operation that mixes it with one in main memory is an error as it is on a GPU, and every
allocation is counted, so a test can bound the peak and make an allocation beyond a size fail as a full GPU does.
"""

from __future__ import annotations

import functools
import threading
import weakref

import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from modules.device.base import MemoryInfo
from modules.device.measurement import DtypeTiming
from tests.memory.devices import RecordingHandler

NAME = "card"
aten = torch.ops.aten


class Ledger:
    """Bytes on the card: those of live blocks now, the most at any time, and how many there may be."""

    def __init__(self):
        self._lock = threading.RLock()
        self._blocks = {}
        self.used = self.peak = self.brought = 0
        self.capacity = None

    def add(self, tensor):
        """Count the storage of a tensor unless it is known."""
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if size == 0:
            return None
        with self._lock:
            block = self._blocks.get(key)
            block = block() if block is not None else None
            if block is None:
                if self.capacity is not None and self.used + size > self.capacity:
                    raise RuntimeError(f"card: out of memory ({self.used} of {self.capacity} bytes, {size} more)")
                block = Block(storage)
                self._blocks[key] = weakref.ref(block)
                self.used += size
                self.peak = max(self.peak, self.used)
                weakref.finalize(block, self._drop, key, size)
            return block

    def _drop(self, key, size):
        with self._lock:
            self.used -= size
            known = self._blocks.get(key)
            if known is not None and known() is None:
                del self._blocks[key]

    def begin(self):
        """Count the peak from here on."""
        with self._lock:
            self.peak = self.used


class Block:
    """One allocation; lives as long as a tensor on the card that shows some of it."""

    def __init__(self, storage):
        self.storage = storage


LEDGER = Ledger()


class CardTensor(torch.Tensor):
    """A tensor on the card."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
            requires_grad=False,
        )

    def __init__(self, inner):
        self.numbers = inner
        self.block = LEDGER.add(inner)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.scaled_dot_product_attention:
            return compute(function, *args, **(kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, *args, **(kwargs or {}))

    def __repr__(self):
        return f"CardTensor({self.numbers!r})"


def behind(value):
    """The numbers of a tensor on the card; anything else as it is."""
    return value.numbers if isinstance(value, CardTensor) else value


def compute(operation, *args, **kwargs):
    """Do an operation of the card: on the CPU, with the numbers behind its tensors."""
    if operation in (aten._to_copy.default, aten.copy_.default, aten._copy_from.default):
        return _copy(operation, *args, **kwargs)
    target = kwargs.get("device")
    if target is not None:
        on_card = torch.device(target).type == NAME
        kwargs = {**kwargs, "device": "cpu"}
    else:
        on_card = any(isinstance(leaf, CardTensor) for leaf in tree_flatten((args, kwargs))[0])
    leaves, shape = tree_flatten((args, kwargs))
    strangers = [leaf for leaf in leaves if type(leaf) in (torch.Tensor, torch.nn.Parameter) and leaf.ndim > 0]
    if on_card and strangers:
        raise RuntimeError(f"{operation}: expected all tensors to be on the same device, found cpu and {NAME}:0")
    inner_args, inner_kwargs = tree_unflatten([behind(leaf) for leaf in leaves], shape)
    result = operation(*inner_args, **inner_kwargs)
    known = {id(leaf.numbers): leaf for leaf in leaves if isinstance(leaf, CardTensor)}
    return tree_map(functools.partial(_wrapped, known=known, on_card=on_card), result)


def _wrapped(value, *, known, on_card):
    if not isinstance(value, torch.Tensor) or not on_card:
        return value
    return known[id(value)] if id(value) in known else CardTensor(value)


def _copy(operation, *args, **kwargs):
    if operation is aten._to_copy.default:
        source = args[0]
        device = torch.device(kwargs.pop("device", None) or source.device)
        kwargs.pop("non_blocking", None)
        moved = aten._to_copy.default(behind(source), device="cpu", **kwargs)
        return CardTensor(moved) if device.type == NAME else moved
    source, target = args[:2] if operation is aten._copy_from.default else (args[1], args[0])
    behind(target).copy_(behind(source))
    return target


class _Hidden:
    """What torch asks about a backend. None of it is offered to code that looks for accelerators by itself."""

    def is_initialized(self):
        return True

    def is_available(self):
        return False

    def current_device(self):
        return 0

    def device_count(self):
        return 0

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        """The card draws no random numbers."""


@functools.cache
def install():
    """Make the name known to torch; once a process, as torch has one such place."""
    from torch.utils import backend_registration

    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Hidden())
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda operation, *args, **kwargs: compute(operation, *args, **kwargs), "PrivateUse1")
    return library


class CardHandler(RecordingHandler):
    """The handler of the card, which holds `capacity` bytes. `said` is what it says to be free, if not the truth."""

    id = "card"
    label = "Card"

    def __init__(self, capacity=1 << 34, said=None):
        super().__init__()
        install()
        self.capacity, self.said = capacity, said
        LEDGER.capacity = capacity
        LEDGER.begin()

    def torch_device(self):
        return f"{NAME}:0"

    def name(self):
        return "a card on paper"

    def memory(self):
        free = self.capacity - LEDGER.used if self.said is None else self.said
        return MemoryInfo(max(self.capacity, self.said or 0), free, LEDGER.used, None, LEDGER.peak)

    def dtypes(self, cache=None):
        return self.decide({"float32": DtypeTiming(True, 1.0)})
