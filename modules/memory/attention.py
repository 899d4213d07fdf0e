"""How attention is computed, as a change that is taken back: processors, diffusers' dispatcher, torch's kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modules.contracts.errors import UnsupportedFeature
from modules.device.attention import WAYS, Way
from modules.device.base import DeviceHandler
from modules.memory.cost import group_of
from modules.memory.entry import Around, standing_before

SWAPPABLE = frozenset({"AttnProcessor", "AttnProcessor2_0"})
"""Processors that compute nothing but attention, and for which every way has one that computes the same."""


def measure_of(name: str) -> str:
    """The name under which the way `name` of `modules.device.attention` stands among the measures."""
    return f"{name.replace('-', '_')}_attention"


def computing_in(name: str) -> Callable[[Mapping[str, Any], DeviceHandler], contextlib.AbstractContextManager[None]]:
    """The measure of that way.

    Layers whose processor does more than attention (adapters) keep it. Raises `UnsupportedFeature`, before anything is
    changed, when the way has no form for this denoiser or its package cannot be used.
    """

    @contextlib.contextmanager
    def measure(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
        parts = {group_of(key): part for key, part in components.items() if group_of(key) in ("denoiser", "vae")}
        _check(name, parts.get("denoiser"))
        with contextlib.ExitStack() as stack:
            for part in parts.values():
                stack.enter_context(_swapped(part, WAYS[name]))
                if WAYS[name].kernels:
                    stack.enter_context(standing_before(part, _within(WAYS[name].kernels)))
            yield

    return measure


def _check(name: str, denoiser: Any) -> None:
    """Refuse a way that would leave the denoiser as it is."""
    if denoiser is None or _fits(WAYS[name], denoiser):
        return
    fitting = ", ".join(other for other, way in WAYS.items() if _fits(way, denoiser))
    raise UnsupportedFeature(
        f"The attention {name!r} has no form for {type(denoiser).__name__}; those that have are {fitting}."
    )


def _fits(way: Way, denoiser: Any) -> bool:
    if way.backend == "native":
        return True  # torch's own function, which every denoiser ends in
    layers = list(_layers(denoiser))
    swaps = way.processor is not None and any(type(layer.processor).__name__ in SWAPPABLE for layer in layers)
    dispatches = way.backend is not None and any(hasattr(layer.processor, "_attention_backend") for layer in layers)
    return swaps or dispatches


def _layers(part: Any) -> Iterator[Any]:
    for layer in part.modules():
        if getattr(layer, "processor", None) is not None and hasattr(layer, "set_processor"):
            yield layer


@contextlib.contextmanager
def _swapped(part: Any, way: Way) -> Iterator[None]:
    """Give layers their processors, and dispatched ones their backend; then back what they had.

    `set_attention_backend` of diffusers does the same to the layers and also changes the default of the whole process,
    which other models would inherit, so its check is used and its loop is not.
    """
    with contextlib.ExitStack() as stack:
        backend = _backend(way)
        for layer in _layers(part):
            processor = layer.processor
            if way.processor is not None and type(processor).__name__ in SWAPPABLE:
                stack.callback(layer.set_processor, processor)
                layer.set_processor(_made(way.processor))
            elif backend is not None and hasattr(processor, "_attention_backend"):
                stack.callback(_set_backend, processor, vars(processor).get("_attention_backend"))
                processor._attention_backend = backend
        yield


def _set_backend(processor: Any, backend: Any) -> None:
    if backend is None:
        vars(processor).pop("_attention_backend", None)
    else:
        processor._attention_backend = backend


def _backend(way: Way) -> Any:
    from diffusers.models import attention_dispatch

    if way.backend is None:
        return None
    backend = attention_dispatch.AttentionBackendName(way.backend)
    try:
        attention_dispatch._check_attention_backend_requirements(backend)
    except RuntimeError as error:
        raise UnsupportedFeature(f"The attention {way.backend!r} cannot be used: {error}") from error
    return backend


def _made(name: str) -> Any:
    from diffusers.models import attention_processor

    kind = getattr(attention_processor, name)
    return kind(1) if name == "SlicedAttnProcessor" else kind()


def _within(kernels: tuple[str, ...]) -> Around:
    """Calls with that choice of torch's kernels; the best one first."""

    def around(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel([getattr(SDPBackend, name) for name in kernels], set_priority=True):
            return original(*args, **kwargs)

    return around
