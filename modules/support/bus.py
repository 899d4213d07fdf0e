"""The event bus: one place where facts about jobs are published, and anybody may listen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from modules.contracts.events import TERMINAL, Event

log = logging.getLogger(__name__)
Listener = Callable[[Event], None]


class EventBus:
    """Delivers every event to every listener, in the order of publication, in the publisher's thread.

    A listener that throws is logged and does not stop the others or the publisher.
    """

    def __init__(self) -> None:
        self._listeners: dict[int, Listener] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._order = threading.RLock()

    def publish(self, event: Event) -> None:
        """Tell everybody. Safe from any thread."""
        with self._order:
            with self._lock:
                listeners = list(self._listeners.values())
            for listener in listeners:
                try:
                    listener(event)
                except Exception:
                    log.exception("a listener failed on %s", type(event).__name__)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for each event from now on; the returned function ends it and may be called twice."""
        with self._lock:
            key = self._next
            self._next += 1
            self._listeners[key] = listener

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return unsubscribe

    @contextlib.contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """`subscribe` for the length of a block."""
        unsubscribe = self.subscribe(listener)
        try:
            yield
        finally:
            unsubscribe()

    async def stream(self, job_id: str | None = None) -> AsyncIterator[Event]:
        """Events from the first `__anext__` on; of one job when given, and then ending after its terminal event."""
        loop = asyncio.get_running_loop()
        pending: asyncio.Queue[Event] = asyncio.Queue()

        def receive(event: Event) -> None:
            if (job_id is None or event.job_id == job_id) and not loop.is_closed():
                loop.call_soon_threadsafe(pending.put_nowait, event)

        with self.listening(receive):
            while True:
                event = await pending.get()
                yield event
                if job_id is not None and isinstance(event, TERMINAL):
                    return

    def iterate(self, job_id: str) -> Iterator[Event]:
        """Events of one job for a caller outside an event loop, ending after the terminal one.

        Listening begins when this is called, not at the first `next`.
        """
        pending: queue.Queue[Event] = queue.Queue()

        def receive(event: Event) -> None:
            if event.job_id == job_id:
                pending.put(event)

        unsubscribe = self.subscribe(receive)

        def drain() -> Iterator[Event]:
            try:
                while True:
                    event = pending.get()
                    yield event
                    if isinstance(event, TERMINAL):
                        return
            finally:
                unsubscribe()

        return drain()
