"""Parts of a denoiser's work that are taken over from earlier calls of the same lane.

What is remembered belongs to one pass of one lane, and so does the patch: its signature is nobody else's, so its calls
are never merged with those of another job. Modules get another `forward` for the length of a call and have their own
again after it; no weight and no hook is touched.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from modules.contracts.cache import CacheParams
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.networks_part import Clock

Forward = Callable[..., Any]
_SERIAL = itertools.count()
LEAST_GAP = 2
"""Steps for which rows may be left out, as the negative prompt is at low noise, without being forgotten."""


class Method(Protocol):
    """A way of taking over."""

    def due(self, calls: int) -> bool:
        """Whether all is computed in a call, when so many went before it since the last one of which that is true."""

    def begin(self) -> Any:
        """What is remembered between calls, before the first."""

    def standing(self, module: Any, known: Any, *, whole: bool) -> AbstractContextManager[None]:
        """Round a call of `module`; `whole` says that all of it is computed and remembered."""


@dataclass
class _Memory:
    """What is known of calls for one choice of rows."""

    known: Any
    calls: int = 0
    seen: float = 0.0
    """Steps that were behind when it was used last."""


@dataclass(eq=False)
class _Course:
    """One pass of one lane. Changed by the thread that runs the lane's calls alone."""

    shelf: ModuleShelf
    wish: CacheParams
    method: Method
    clock: Clock
    breaks: tuple[float, ...] = ()
    number: int = field(default_factory=lambda: next(_SERIAL))
    memories: dict[Hashable, _Memory] = field(default_factory=dict)

    def recall(self, key: Hashable) -> _Memory:
        """What is known of these rows; what is older than an interval is forgotten, and what was before a break."""
        memory, steps = self.memories.get(key), max(self.clock.steps, 1)
        old = memory is None or self.clock.done - memory.seen > max(self.wish.interval, LEAST_GAP)
        if memory is None or old or any(memory.seen / steps < each <= self.clock.done / steps for each in self.breaks):
            memory = self.memories[key] = _Memory(self.method.begin())
        memory.seen = self.clock.done
        return memory

    @property
    def acts(self) -> bool:
        """Whether something may be taken over now."""
        return self.wish.start <= self.clock.done / max(self.clock.steps, 1) < self.wish.end


class StepCache:
    """A patch of the multiplexer for every call of a pass. Calls for other rows, such as those without the negative
    prompt, are remembered by themselves."""

    def __init__(
        self, shelf: ModuleShelf, wish: CacheParams, method: Method, clock: Clock, breaks: tuple[float, ...] = ()
    ) -> None:
        """`clock` tells how far the pass has come; at `breaks`, shares of its steps, nothing is taken over."""
        self._course = _Course(shelf, wish, method, clock, breaks)
        self._rows: tuple[int, ...] | None = None
        self._kinds: tuple[int, ...] | None = None

    @property
    def signature(self) -> Hashable:
        """No other pass has it."""
        return "step cache", self._course.number

    @property
    def identity(self) -> Hashable:
        """As the signature."""
        return self.signature

    def chosen(self, rows: Sequence[int]) -> StepCache:
        """The same for a call whose samples are these rows."""
        return self._for(tuple(rows), self._kinds)

    def of_kinds(self, kinds: Sequence[int]) -> StepCache:
        """The same for a call whose samples are of those kinds."""
        return self._for(self._rows, tuple(kinds))

    def _for(self, rows: tuple[int, ...] | None, kinds: tuple[int, ...] | None) -> StepCache:
        other = StepCache.__new__(StepCache)
        other._course, other._rows, other._kinds = self._course, rows, kinds
        return other

    def gathered(self, patches: Sequence[StepCache], counts: Sequence[int]) -> AbstractContextManager[None]:
        """To be entered round a call, which is never made of several."""
        (own,) = patches
        return own._standing()

    @contextlib.contextmanager
    def _standing(self) -> Iterator[None]:
        course = self._course
        memory = course.recall((self._rows, self._kinds))
        whole = memory.calls == 0 or course.method.due(memory.calls) or not course.acts
        with course.method.standing(course.shelf.layers[""], memory.known, whole=whole):
            yield
        # An answer that did not come is remembered by nobody.
        memory.calls = 1 if whole else memory.calls + 1


@contextlib.contextmanager
def computed_by(module: Any, make: Callable[[Forward], Forward]) -> Iterator[None]:
    """`module` with the `forward` that `make` makes of its own, for a while."""
    own = vars(module).get("forward")
    vars(module)["forward"] = make(module.forward)
    try:
        yield
    finally:
        del vars(module)["forward"]
        if own is not None:  # somebody else's, who stands there for longer
            vars(module)["forward"] = own
