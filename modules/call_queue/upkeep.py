"""What has to happen although nobody asks: time that runs out, and what other processes did to shared jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from modules.call_queue.lanes import Run
from modules.call_queue.store import JobStore
from modules.contracts.errors import DeviceUnavailable, TimedOut

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
"""How often a process looks at what others did with a database that they share."""
RETRY_SECONDS = 5.0


class Upkeep:
    """One thread that sleeps until a deadline or a time limit is due. The work itself is the queue's, passed in."""

    def __init__(self, work: Callable[[], float | None]) -> None:
        """`work` does what is due and returns seconds until the next, None when nothing is in sight."""
        self._work = work
        self._wake = threading.Event()
        self._stopping = False
        # A daemon, so that a database that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._live, name="queue-upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread; once only."""
        self._thread.start()

    def wake(self) -> None:
        """Something has come that may be due before the rest."""
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """End the thread and wait until it has, for `timeout` seconds at most."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _live(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                pause = self._work()
            except (SQLAlchemyError, DeviceUnavailable):
                log.exception("the job table does not answer; trying again in %.0f s", RETRY_SECONDS)
                pause = RETRY_SECONDS
            if not self._stopping:
                self._wake.wait(None if pause is None else max(pause, 0.01))


def limit_of(run: Run, began: float) -> float | None:
    """When that run has to be over, in seconds since 1970."""
    limits = [run.claim.deadline, None if run.claim.timeout is None else began + run.claim.timeout]
    return min((limit for limit in limits if limit is not None), default=None)


def overdue(run: Run, began: float, now: float) -> TimedOut | None:
    """The error that a run ends with when its time is up."""
    claim = run.claim
    if claim.timeout is not None and now >= began + claim.timeout:
        return TimedOut(f"The job was stopped after the {claim.timeout:g} seconds that it was to run at most.")
    if claim.deadline is not None and now >= claim.deadline:
        return passed_deadline(claim.deadline)
    return None


def passed_deadline(deadline: float) -> TimedOut:
    """The error of a job that was not done in time."""
    moment = datetime.fromtimestamp(deadline, UTC).isoformat(timespec="seconds")
    return TimedOut(f"The job was not done by its deadline, {moment}.")


def next_look(store: JobStore, limits: list[float], *, shared: bool) -> float | None:
    """Seconds until something is due; None when nothing is in sight."""
    waiting = store.next_deadline()
    due = min((*limits, *(() if waiting is None else (waiting,))), default=None)
    pause = None if due is None else due - store.clock()
    return min(pause, LOOK_SECONDS) if shared and pause is not None else LOOK_SECONDS if shared else pause
