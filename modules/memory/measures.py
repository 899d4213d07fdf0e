"""The measures by name, and how they are taken and taken back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from modules.device.base import DeviceHandler
from modules.memory import cost, offload, sequential, slicing
from modules.support.registry import Registry

Measure = Callable[[Mapping[str, Any], DeviceHandler], AbstractContextManager[None]]
"""Takes components by name and the device; leaving the context takes everything back."""


def default_measures() -> Registry[Measure]:
    """A registry of the measures of this package."""
    registry: Registry[Measure] = Registry("memory measure")
    registry.add(cost.TEXT, offload.text_encoder_cpu)
    registry.add(cost.MODEL, offload.model_offload)
    registry.add(cost.SEQUENTIAL, sequential.sequential_offload)
    registry.add(cost.ATTENTION, slicing.attention_slicing)
    registry.add(cost.SLICING, slicing.vae_slicing)
    registry.add(cost.TILING, slicing.vae_tiling)
    return registry


MEASURES = default_measures()


@contextlib.contextmanager
def applied(
    measures: Iterable[str],
    components: Mapping[str, Any],
    handler: DeviceHandler,
    registry: Registry[Measure] = MEASURES,
) -> Iterator[None]:
    """Take the named measures, in order, and take them all back at the end, in reverse.

    No call of these components may be running when the block begins or ends, and nested changes of the same modules
    have to end first. An unknown name raises `KeyError` before anything is changed; when one measure fails, those
    taken before it are taken back.
    """
    chosen = [registry[name] for name in measures]
    with contextlib.ExitStack() as stack:
        for measure in chosen:
            stack.enter_context(measure(components, handler))
        yield


class SharedMeasures:
    """Measures on components that several lanes use at once.

    The first lane that asks for a set of measures on a set of components takes them; later ones join; the last one to
    leave takes them back. Lanes that ask for different measures on the same components wait for one another, because
    taking a measure changes modules that others may be computing with.
    """

    def __init__(self, registry: Registry[Measure] = MEASURES) -> None:
        self._registry = registry
        self._changed = threading.Condition()
        self._held: dict[frozenset[int], _Holding] = {}

    @contextlib.contextmanager
    def applied(self, measures: Iterable[str], components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
        """`applied`, shared with the other lanes that use the same components."""
        names = tuple(measures)
        key = frozenset(id(module) for name, module in components.items() if cost.group_of(name))
        self._enter(key, names, components, handler)
        try:
            yield
        finally:
            self._leave(key)

    def _enter(
        self, key: frozenset[int], names: tuple[str, ...], components: Mapping[str, Any], handler: DeviceHandler
    ) -> None:
        with self._changed:
            while True:
                holding = self._held.get(key)
                clash = any(other != key and other & key for other in self._held)
                if holding is not None and holding.names == names and not clash:
                    holding.lanes += 1
                    return
                if holding is None and not clash:
                    break
                self._changed.wait()
            # Under the lock on purpose: nobody may compute with modules that are being changed.
            stack = contextlib.ExitStack()
            stack.enter_context(applied(names, components, handler, self._registry))
            self._held[key] = _Holding(names, stack)

    def _leave(self, key: frozenset[int]) -> None:
        with self._changed:
            holding = self._held[key]
            holding.lanes -= 1
            if holding.lanes == 0:
                try:
                    holding.stack.close()
                finally:
                    del self._held[key]
                    self._changed.notify_all()


class _Holding:
    def __init__(self, names: tuple[str, ...], stack: contextlib.ExitStack) -> None:
        self.names, self.stack, self.lanes = names, stack, 1
