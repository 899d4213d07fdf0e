"""The thriftiest measure: weights come to the device layer by layer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modules.device.base import DeviceHandler
from modules.memory.entry import Around, ExecutionMark, attribute, standing_before
from modules.memory.offload import modules_of, returning
from modules.memory.traveller import Traveller


@contextlib.contextmanager
def sequential_offload(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """Every layer comes to the device for its own computation only. Slow; fits almost anywhere.

    A layer is whatever holds weights of its own; it travels when its forward is called. Weights that one module reads
    from another without calling it stay in main memory and would meet activations on the device there; none of the
    architectures that the studio loads does that.
    """
    modules = modules_of(components, "denoiser", "text_encoder", "vae")
    device = handler.torch_device()
    with contextlib.ExitStack() as stack:
        stack.callback(handler.empty_cache)
        stack.enter_context(returning(modules))
        for module in modules:
            module.to("cpu")
            for layer in module.modules():
                if layer._parameters or layer._buffers:
                    visiting = _visiting(Traveller(layer, device, recurse=False), device)
                    stack.enter_context(standing_before(layer, visiting))
            stack.enter_context(attribute(module, "_hf_hook", ExecutionMark(device)))
            stack.enter_context(standing_before(module, _one_at_a_time(threading.RLock(), device)))
        handler.empty_cache()
        yield


def _visiting(traveller: Traveller, device: str) -> Around:
    def around(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from accelerate.utils import send_to_device

        traveller.go()
        try:
            # Also the arguments: some layers are called from outside, such as the last norm of a text encoder.
            return original(*send_to_device(args, device), **send_to_device(kwargs, device))
        finally:
            traveller.come_home()

    return around


def _one_at_a_time(lock: threading.RLock, device: str) -> Around:
    def around(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from accelerate.utils import send_to_device

        with lock:
            return original(*send_to_device(args, device), **send_to_device(kwargs, device))

    return around
