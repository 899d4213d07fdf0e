"""Whether a picture can be drawn, found out by drawing one.

A tiny picture is drawn once the model stands, and again after a job has failed in a way that may be the engine's fault.
While that does not succeed it is tried again, more and more rarely, until a test picture or somebody's job is done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from modules.contracts.errors import DeviceUnavailable, OutOfMemory, StudioError
from modules.contracts.events import Event, JobDone, JobFailed
from modules.support.bus import EventBus
from modules.support.studio import Status

log = logging.getLogger(__name__)
UNPROVEN = "No picture has been drawn yet."
DOUBTFUL = frozenset({StudioError.kind, OutOfMemory.kind, DeviceUnavailable.kind})
"""Kinds of failures that may be the engine's own; the others say that the request was wrong."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
SPACING = 2.0
"""Seconds between two tries, however many jobs fail."""


class Prober:
    """One thread that draws test pictures when there is a reason to; says what came out in `Status.trouble`."""

    def __init__(
        self,
        status: Status,
        bus: EventBus,
        attempt: Callable[[threading.Event], None],
        *,
        first_pause: float = FIRST_PAUSE,
        spacing: float = SPACING,
    ) -> None:
        """`attempt` draws a picture or raises `StudioError`; it ends early once its event is set."""
        self._status, self._attempt = status, attempt
        self._first_pause, self._spacing = first_pause, spacing
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._wake.set()
        status.doubt(UNPROVEN)
        self._unsubscribe = bus.subscribe(self._hear)
        # A daemon, so that a picture that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._live, name="prober", daemon=True)

    def start(self) -> None:
        """Draw the first one; once only. Returns at once."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread and wait until it has, for `timeout` seconds at most."""
        self._unsubscribe()
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobFailed) and event.kind in DOUBTFUL:
            self._wake.set()
        elif isinstance(event, JobDone) and self._status.trouble is not None:
            self._status.doubt(None)

    def _live(self) -> None:
        pause = self._first_pause
        while not self._stopping.is_set():
            asked = self._wake.wait(None if self._status.trouble is None else pause)
            if self._stopping.is_set():
                return
            self._wake.clear()
            if not asked and self._status.trouble is None:
                continue  # somebody's picture was done meanwhile
            trouble = self._try()
            if self._stopping.is_set():
                return
            pause = self._first_pause if trouble is None else min(2 * pause, LONGEST_PAUSE)
            self._say(trouble)
            self._stopping.wait(self._spacing)

    def _say(self, trouble: str | None) -> None:
        before = self._status.trouble
        self._status.doubt(trouble)
        if trouble is not None and trouble != before:
            log.error("not ready: %s", trouble)
        elif trouble is None and before not in (None, UNPROVEN):
            log.info("a test picture could be drawn again")

    def _try(self) -> str | None:
        try:
            self._attempt(self._stopping)
        except StudioError as error:
            return f"A test picture could not be drawn: {error.message}"
        except Exception as error:
            # Border of a thread: without it nobody would ever ask again.
            log.exception("a test picture could not be drawn")
            return f"A test picture could not be drawn: {type(error).__name__}."
        return None
