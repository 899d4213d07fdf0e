"""Calls of other people's code: in threads that can be left behind, so that nobody waits for ever.

Python cannot end a thread. One whose call takes too long is abandoned: it is never used again, what it gives is thrown
away, and as everything that it got was its own copy it changes nothing any more.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from modules.contracts.errors import JobCancelled, TimedOut

LOOK = 0.1
"""How often whoever waits looks whether the job was cancelled, seconds."""
GRACE = 5.0
"""How long a call may go on after its job was cancelled, seconds."""


class Call:
    """One call on its way."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._context, self._work = contextvars.copy_context(), work
        self.done = threading.Event()
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._began, self._spared, self._paused = time.monotonic(), 0.0, 0.0
        self._deep = 0

    def execute(self) -> None:
        """Run it. Everything that it raises is kept, whatever it is: `SystemExit` must not end a worker."""
        try:
            self.result = self._context.run(self._work)
        except BaseException as error:
            self.error = error
        self.done.set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time that passes inside is the studio's own and not the script's."""
        with self._lock:
            self._deep += 1
            if self._deep == 1:
                self._paused = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._deep -= 1
                if self._deep == 0:
                    self._spared += time.monotonic() - self._paused

    @property
    def seconds(self) -> float:
        """What the script itself has taken."""
        with self._lock:
            now = self._paused if self._deep else time.monotonic()
            return now - self._began - self._spared


_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("call", default=None)


def current_call() -> Call | None:
    """The call that this thread is in."""
    return _current.get()


class Caller:
    """Lends threads to calls. Safe from several threads."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[Call | None]] = []
        self._lock = threading.Lock()

    def call(self, work: Callable[[], Any], limit: float | None, cancelled: Callable[[], bool] = lambda: False) -> Any:
        """What `work` gives or raises; `SystemExit` and its like come out as `RuntimeError`.

        Raises `TimedOut` once it took longer than `limit` seconds (None is without limit), and `JobCancelled` when its
        job was cancelled and it did not come back within `GRACE`; then its thread is left behind.
        """

        def marked() -> Any:
            _current.set(call)
            return work()

        call = Call(marked)
        inbox = self._lend()
        inbox.put(call)
        if not self._wait(call, limit, cancelled):
            inbox.put(None)  # ends the thread if it ever comes back
            if limit is not None and call.seconds > limit:
                raise TimedOut(f"it took longer than {limit:g} s")
            raise JobCancelled("The job was cancelled.")
        with self._lock:
            self._idle.append(inbox)
        if isinstance(call.error, Exception):
            raise call.error
        if call.error is not None:
            raise RuntimeError(f"it raised {type(call.error).__name__}") from call.error
        return call.result

    def _wait(self, call: Call, limit: float | None, cancelled: Callable[[], bool]) -> bool:
        """Whether it came back."""
        asked: float | None = None
        while True:
            left = LOOK if limit is None else min(LOOK, max(limit - call.seconds, 0.001))
            if call.done.wait(left):
                return True
            if asked is None and cancelled():
                asked = time.monotonic()
            late = limit is not None and call.seconds > limit
            if late or (asked is not None and time.monotonic() - asked > GRACE):
                call.abandoned = True
                return call.done.is_set()

    def _lend(self) -> queue.SimpleQueue[Call | None]:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        inbox: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), name="script", daemon=True).start()
        return inbox

    def close(self) -> None:
        """End the threads that wait for work."""
        with self._lock:
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)


def _serve(inbox: queue.SimpleQueue[Call | None]) -> None:
    while (call := inbox.get()) is not None:
        call.execute()
        del call
