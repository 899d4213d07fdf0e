"""The thriftiest measure: weights come to the device layer by layer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modules.device.base import DeviceHandler
from modules.memory.entry import standing_before
from modules.memory.offload import modules_of, returning


@contextlib.contextmanager
def sequential_offload(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """Every layer comes to the device for its own computation only (accelerate's hooks). Slow; fits almost anywhere.

    On leaving, parameters are the very objects they were, so that tied weights stay tied.
    """
    modules = modules_of(components, "denoiser", "text_encoder", "vae")
    with contextlib.ExitStack() as stack:
        stack.callback(handler.empty_cache)
        stack.enter_context(returning(modules))
        for module in modules:
            module.to("cpu")
            stack.enter_context(_leaf_by_leaf(module, handler.torch_device()))
            stack.enter_context(standing_before(module, _one_at_a_time(threading.RLock())))
        handler.empty_cache()
        yield


@contextlib.contextmanager
def _leaf_by_leaf(module: Any, device: str) -> Iterator[None]:
    import torch
    from accelerate import cpu_offload
    from accelerate.hooks import remove_hook_from_submodules

    inner = list(module.modules())
    before = [(part, dict(part._parameters), dict(part._buffers), set(vars(part))) for part in inner]
    try:
        # A module that holds parameters of its own beside its layers reads them during its forward.
        cpu_offload(module, torch.device(device), offload_buffers=len(module._parameters) > 0)
        yield
    finally:
        remove_hook_from_submodules(module)
        for part, parameters, buffers, names in before:
            part._parameters.update(parameters)
            part._buffers.update(buffers)
            for name in set(vars(part)) - names:
                del vars(part)[name]


def _one_at_a_time(lock: threading.RLock) -> Callable[..., Any]:
    def around(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with lock:
            return original(*args, **kwargs)

    return around
