"""The event bus: one place where facts about jobs are published, and anybody may listen."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from modules.contracts.events import Event

log = logging.getLogger(__name__)
Listener = Callable[[Event], None]


class EventBus:
    """Delivers every event to every listener, in the order of publication, in the publisher's thread.

    A listener that throws is logged and does not stop the others or the publisher.
    """

    def __init__(self) -> None:
        self._listeners: dict[int, Listener] = {}
        self._eyes: dict[int, str] = {}
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

    def subscribe(self, listener: Listener, looks_at: str | None = None) -> Callable[[], None]:
        """Call `listener` for each event from now on; the returned function ends it and may be called twice.

        `looks_at` is the job whose previews it shows to somebody; see `is_looked_at`.
        """
        with self._lock:
            key = self._next
            self._next += 1
            self._listeners[key] = listener
            if looks_at is not None:
                self._eyes[key] = looks_at

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)
                self._eyes.pop(key, None)

        return unsubscribe

    @contextlib.contextmanager
    def listening(self, listener: Listener, looks_at: str | None = None) -> Iterator[None]:
        """`subscribe` for the length of a block."""
        unsubscribe = self.subscribe(listener, looks_at)
        try:
            yield
        finally:
            unsubscribe()

    def is_looked_at(self, job_id: str) -> bool:
        """Whether a listener shows previews of that job."""
        with self._lock:
            return job_id in self._eyes.values()
