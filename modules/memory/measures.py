"""The measures by name, and how they are taken and taken back."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from modules.contracts.plan import MemoryPlan
from modules.device.attention import AUTOMATIC, WAYS
from modules.device.base import DeviceHandler
from modules.memory import attention, compiled, cost, offload, sequential, slicing
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
    registry.add(compiled.MEASURE, compiled.regional_compile)
    for name in WAYS:
        registry.add(attention.measure_of(name), attention.computing_in(name))
    return registry


def names_of(plan: MemoryPlan) -> tuple[str, ...]:
    """The measures of a plan in the order in which they are taken: the way of attention first, as slicing to save
    memory may have to change it again, and compiling last, round what all the others made of the denoiser."""
    way = () if plan.attention == AUTOMATIC else (attention.measure_of(plan.attention),)
    return (*way, *plan.measures, *((compiled.MEASURE,) if plan.compiled else ()))


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
    leave takes them back. Lanes whose wishes cannot stand together wait for one another, first come, first served,
    because taking a measure changes modules that others may be computing with.
    """

    def __init__(self, registry: Registry[Measure] = MEASURES) -> None:
        self._registry = registry
        self._changed = threading.Condition()
        self._held: dict[_Wish, _Holding] = {}
        self._waiting: list[_Wish] = []

    @contextlib.contextmanager
    def applied(self, measures: Iterable[str], components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
        """`applied`, shared with the other lanes that use the same components."""
        parts = (module for name, module in components.items() if module is not None and cost.group_of(name))
        modules = frozenset(map(id, parts))
        wish = _Wish(modules, tuple(measures))
        self._enter(wish, components, handler)
        try:
            yield
        finally:
            self._leave(wish)

    def _enter(self, wish: _Wish, components: Mapping[str, Any], handler: DeviceHandler) -> None:
        ticket = replace(wish)
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: not self._hindered(ticket))
                if wish not in self._held:
                    # Under the lock on purpose: nobody may compute with modules that are being changed.
                    stack = contextlib.ExitStack()
                    stack.enter_context(applied(wish.measures, components, handler, self._registry))
                    self._held[wish] = _Holding(stack)
                self._held[wish].lanes += 1
            finally:
                self._waiting = [other for other in self._waiting if other is not ticket]
                self._changed.notify_all()

    def _hindered(self, ticket: _Wish) -> bool:
        """Whether somebody who holds measures, or waited earlier, cannot stand together with this wish."""
        earlier = itertools.takewhile(lambda other: other is not ticket, self._waiting)
        return any(ticket.clashes(other) for other in (*self._held, *earlier))

    def _leave(self, wish: _Wish) -> None:
        with self._changed:
            holding = self._held[wish]
            holding.lanes -= 1
            if holding.lanes == 0:
                try:
                    holding.stack.close()
                finally:
                    del self._held[wish]
                    self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Wish:
    """Measures on a set of modules, told by their ids; the lane that wishes keeps them alive."""

    modules: frozenset[int]
    measures: tuple[str, ...]

    def clashes(self, other: _Wish) -> bool:
        """Whether both at once would change modules that the other one uses."""
        if not self.modules & other.modules:
            return False
        return self != other if self.measures == other.measures != () else self.measures != other.measures


class _Holding:
    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack, self.lanes = stack, 0
