"""Measures that keep whole components off the device until they are called.

All of them serialise the calls they stand before with a lock: weights travel, so two lanes must not be inside at once.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modules.device.base import DeviceHandler
from modules.memory.cost import group_of
from modules.memory.entry import Around, ExecutionMark, attribute, standing_before
from modules.memory.traveller import Traveller


def modules_of(components: Mapping[str, Any], *groups: str) -> list[Any]:
    """The components of these groups that are there."""
    return [module for name, module in components.items() if module is not None and group_of(name) in groups]


def device_of(module: Any) -> Any:
    """The device of a module's weights; the CPU when it has none."""
    import torch

    first = next(iter(module.parameters()), None)
    return torch.device("cpu") if first is None else first.device


@contextlib.contextmanager
def returning(modules: list[Any]) -> Iterator[None]:
    """Bring modules back to the devices they are on now."""
    places = [(module, device_of(module)) for module in modules]
    try:
        yield
    finally:
        for module, device in places:
            module.to(device)


class Seat:
    """One place on the device. Whoever is called gets it, and whoever sat there goes back to main memory."""

    def __init__(self, device: str, empty_cache: Callable[[], None]) -> None:
        self._device = device
        self._empty_cache = empty_cache
        self._lock = threading.RLock()
        self._sitting: Traveller | None = None

    def before(self, traveller: Traveller) -> Around:
        """What stands before the calls of the module whose weights travel."""

        def around(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            from accelerate.utils import send_to_device

            with self._lock:
                self.take(traveller)
                return original(*send_to_device(args, self._device), **send_to_device(kwargs, self._device))

        return around

    def take(self, traveller: Traveller) -> None:
        """Give the place to `traveller`."""
        with self._lock:
            if self._sitting is not traveller:
                self.clear()
                traveller.go()
                # Only now: should the journey run out of memory, nobody sits.
                self._sitting = traveller

    def clear(self) -> None:
        """Send whoever sits there home."""
        with self._lock:
            if self._sitting is not None:
                self._sitting.come_home()
                self._sitting = None
                self._empty_cache()


@contextlib.contextmanager
def model_offload(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """Only the part that computes is on the device; the others wait in main memory.

    A part stays until another one is called, so a patch that changes weights for one call has to `summon` it first.
    """
    modules = modules_of(components, "denoiser", "text_encoder", "vae")
    device = handler.torch_device()
    seat = Seat(device, handler.empty_cache)
    with contextlib.ExitStack() as stack:
        stack.callback(handler.empty_cache)
        stack.enter_context(returning(modules))
        for module in modules:
            module.to("cpu")
        handler.empty_cache()
        stack.callback(seat.clear)
        for module in modules:
            traveller = Traveller(module, device)
            mark = ExecutionMark(device, functools.partial(seat.take, traveller))
            stack.enter_context(attribute(module, "_hf_hook", mark))
            stack.enter_context(standing_before(module, seat.before(traveller)))
        yield


@contextlib.contextmanager
def text_encoder_cpu(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """Text encoders compute on the CPU; what they give comes back to where they were.

    fp16 weights are widened for the length of a call, because fp16 on a CPU may be a hundred times slower; widening
    and narrowing again is exact.
    """
    modules = modules_of(components, "text_encoder")
    with contextlib.ExitStack() as stack:
        stack.enter_context(returning(modules))
        for module in modules:
            home = device_of(module)
            module.to("cpu")
            stack.enter_context(attribute(module, "_hf_hook", ExecutionMark(str(home))))
            stack.enter_context(standing_before(module, _on_cpu(module, home)))
        handler.empty_cache()
        yield


def _on_cpu(module: Any, home: Any) -> Around:
    import torch

    lock = threading.RLock()

    def around(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from accelerate.utils import send_to_device

        with lock, _widened(module):
            output = original(*send_to_device(args, "cpu"), **send_to_device(kwargs, "cpu"))
        if next(module.parameters()).dtype == torch.float16:
            output = _narrowed(output)
        return send_to_device(output, home)

    return around


@contextlib.contextmanager
def _widened(module: Any) -> Iterator[None]:
    import torch

    first = next(iter(module.parameters()), None)
    if first is None or first.dtype != torch.float16:
        yield
        return
    module.to(torch.float32)
    try:
        yield
    finally:
        module.to(torch.float16)


def _narrowed(output: Any) -> Any:
    from accelerate.utils import recursively_apply

    return recursively_apply(lambda tensor: tensor.half() if tensor.is_floating_point() else tensor, output)
