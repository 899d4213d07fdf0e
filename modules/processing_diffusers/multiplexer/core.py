"""The executor: one thread that runs all heavy forwards of a device, merging what may be merged.

There is one thread because every thread that runs tensor code brings its own pool of workers, and two pools on the same
cores spin against each other (seen: ten times slower). Lanes stay free to prepare their next step meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch

from modules.memory.entry import summon
from modules.processing_diffusers.multiplexer.admission import Admission, Lane
from modules.processing_diffusers.multiplexer.call import Call, Digests, Patch, RowPatch, Target, by_rows
from modules.processing_diffusers.multiplexer.figures import Figures
from modules.processing_diffusers.multiplexer.line import Line
from modules.processing_diffusers.multiplexer.merging import merge, split
from modules.support.log import about, subject

log = logging.getLogger(__name__)
CLOSE_SECONDS = 5.0


class Multiplexer:
    """Runs calls of concurrent lanes. All methods are safe from any thread.

    `window` gives the seconds to wait for one more lane and is asked before each wait; `is_out_of_memory` tells that
    error from others; `release` empties the device's caches.
    """

    def __init__(
        self,
        *,
        window: Callable[[], float] = lambda: 0.004,
        is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, torch.OutOfMemoryError),
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._window = window
        self._is_out_of_memory = is_out_of_memory
        self._release = release
        self._condition = threading.Condition()
        self._lanes: set[Lane] = set()
        self._admission = Admission()
        self._line = Line(self._admission)
        self._forwards = 0
        self._closing = False
        self._asleep: float | None = None
        """Until when the executor waits for calls, by the monotonic clock; None while it does something."""
        self.figures = Figures()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="multiplexer", daemon=True)
        self._thread.start()
        started.wait()

    @contextlib.contextmanager
    def lane(self) -> Iterator[Lane]:
        """Register a running job. Leaving the block, however it ends, lets the others stop waiting for it."""
        lane = Lane(Digests(), time.monotonic())
        with self._condition:
            self._lanes.add(lane)
        try:
            yield lane
        finally:
            with self._condition:
                self._lanes.discard(lane)
                self._condition.notify()

    def leave(self, lane: Lane) -> None:
        """The lane goes on to something else than its latest call; nobody waits for it until its next one."""
        with self._condition:
            lane.last = lane.cohort = None
            lane.coming = False
            self._condition.notify()

    def call(
        self,
        lane: Lane,
        target: Target,
        arguments: dict[str, Any],
        *,
        limit: int = 16,
        patches: tuple[Patch | RowPatch, ...] = (),
    ) -> Any:
        """Run `target` for a lane and give its output, or raise what it raised. `limit` is the largest merged batch."""
        call = Call(target, arguments, lane=lane, limit=limit, patches=patches)
        with self._condition:
            if self._closing:
                raise RuntimeError("the multiplexer is closed")
            now = time.monotonic()
            self._line.join(call, now)
            if self._wakes(now):
                self._condition.notify()
        call.done.wait()
        if call.error is not None:
            error, call.error = call.error, None
            raise error
        return call.result

    def _wakes(self, now: float) -> bool:
        """Whether what has just joined the line lets the executor do something sooner than it looks again by itself.

        It is not woken for each of many lanes that come one after the other: that would cost them their turns with
        the interpreter. The lock is held.
        """
        if self._asleep is None:
            return False
        group, patience = self._line.look(self._lanes, window=self._window(), now=now, hurry=self._closing)
        return bool(group) or now + patience < self._asleep

    def _sleep(self, seconds: float | None) -> None:
        """Let go of the lock until somebody notifies, `seconds` at the most."""
        self._asleep = float("inf") if seconds is None else time.monotonic() + seconds
        self._condition.wait(seconds)
        self._asleep = None

    def stats(self) -> dict[str, Any]:
        """Figures since the start: see `Figures.report`."""
        return self.figures.report()

    def close(self, patience: float = CLOSE_SECONDS) -> None:
        """Finish what is pending and end the thread; after `patience` seconds a forward that goes on is left behind.

        The thread is a daemon, so a long forward does not keep the process from ending.
        """
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(patience)

    def _serve(self, started: threading.Event) -> None:
        torch.get_num_threads()  # settles this thread's pool before a lane can lower the default for new threads
        started.set()
        with torch.no_grad():
            while (group := self._next_group()) is not None:
                self._run(group)
                del group  # outputs must not outlive their lanes while this thread sleeps

    def _next_group(self) -> list[Call] | None:
        """Wait for calls and take those that will be run as one; None when closing."""
        with self._condition:
            while True:
                if not self._line:
                    if self._closing:
                        return None
                    self._sleep(None)
                    continue
                group, patience = self._line.choose(
                    self._lanes, window=self._window(), now=time.monotonic(), hurry=self._closing
                )
                if group:
                    return group
                self._sleep(patience)

    def _run(self, group: list[Call]) -> None:
        """Run a group as one forward; on failure find out whose failure it is. Never raises."""
        failure = self._try(group)
        if failure is None:
            return
        if len(group) == 1:
            self._fail(group[0], failure)
            return
        too_much, words = self._is_out_of_memory(failure), str(failure)
        # The frames of a failed forward hold its activations, which would stand beside those of what is run now.
        _let_go(failure)
        failure = None
        self._recover(group, too_much, words)

    def _try(self, group: list[Call]) -> Exception | None:
        """Run a group as one forward and hand out what it gave; else what it raised, with nobody served."""
        started = time.monotonic()
        try:
            outputs = _on_behalf(group, self._forward)
        except Exception as error:  # the border of a lane: whatever a forward throws belongs to the lanes that asked
            return error
        seconds = time.monotonic() - started
        with self._condition:
            self._admission.measured(group[0].key, seconds)
            self._forwards += 1
            for call in group:
                call.lane.waiting, call.lane.cohort = False, self._forwards
        self.figures.count(group[0].target.name, len(group), sum(call.samples for call in group), seconds)
        for call, output in zip(group, outputs, strict=True):
            call.result = output
            call.done.set()
        return None

    def _forward(self, group: list[Call]) -> list[Any]:
        target = group[0].target
        samples = [call.samples for call in group]
        with ExitStack() as stack:
            patches = group[0].patches if target.module is not None else ()
            if not all(map(by_rows, patches)):
                summon(target.module)
            for place, patch in enumerate(patches):
                if by_rows(patch):
                    stack.enter_context(patch.gathered([call.patches[place] for call in group], samples))
                else:
                    stack.enter_context(patch.applied(target.module))
            if len(group) == 1:
                return [target.function(**group[0].arguments)]
            names, length = group[0].arguments, math.lcm(*(call.length for call in group))
            merged = {name: merge([call.argument(name, length) for call in group], samples, name) for name in names}
            return split(target.function(**merged), samples)

    def _recover(self, group: list[Call], too_much: bool, words: str) -> None:
        """Too much for the memory: two halves. Any other failure: one by one, so that only the guilty lane fails."""
        if too_much:
            self._release()
            self.figures.count_split()
            middle = len(group) // 2
            self._run(group[:middle])
            self._run(group[middle:])
            return
        sentence = "a merged call of %d lanes failed (%s); running it lane by lane"
        _on_behalf(group, lambda calls: log.warning(sentence, len(calls), words))
        for call in group:
            self._run([call])

    def _fail(self, call: Call, error: Exception) -> None:
        with self._condition:
            call.lane.waiting = False
        call.error = error
        call.done.set()


def _on_behalf(group: list[Call], action: Callable[[list[Call]], Any]) -> Any:
    """`action` for a group, so that what is logged meanwhile is known to belong to its job, or to all its jobs."""
    if len(group) == 1:
        return group[0].context.run(action, group)
    ids = {call.context.run(subject).get("job_id", "") for call in group} - {""}
    with about(job_ids=" ".join(sorted(ids))):
        return action(group)


def _let_go(error: BaseException | None) -> None:
    """Empty the frames through which an error, and what it came from, passed."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
