"""One job as long as somebody may wait for it: the ticket that the queue keeps and the handle that a caller gets."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future

from modules.call_queue.tracking import Tracker
from modules.contracts.errors import StudioError, restore
from modules.contracts.events import TERMINAL, Event, JobCancelled, JobDone, JobFailed, JobQueued
from modules.contracts.jobs import JobRecord, JobState
from modules.contracts.result import GenerationResult
from modules.support.bus import EventBus
from modules.support.log import subject

RECENT_JOBS = 16
RECENT_PIXELS = 64_000_000
"""About 200 MB of pictures."""
WATCH_SECONDS = 10.0
"""Whoever asks for progress is taken to be watching for this long; clients ask about once a second."""

STATES: dict[type[Event], JobState] = {JobDone: "done", JobFailed: "failed", JobCancelled: "cancelled"}


class Ticket:
    """What this process knows of one job. Its events go through here, so that they are in order and end once."""

    def __init__(self, job_id: str, owner: str, bus: EventBus, *, inherited: bool = False) -> None:
        self.job_id = job_id
        self.owner = owner
        self.bus = bus
        self.tracker = Tracker(job_id)
        self.terminal: Event | None = None
        self.outcome: Future[GenerationResult] = Future()
        # A future that runs cannot be cancelled, so a waiting task that is cancelled leaves the job alone.
        self.outcome.set_running_or_notify_cancel()
        self.tags = subject()
        """What lines about the submitter carry, so that those of the lane carry it too."""
        self.inherited = inherited
        """The job came from an earlier process."""
        self.announced = threading.Event()
        """Set once `JobQueued` was published; a lane waits for it before it says that the job started."""
        if inherited:
            self.announced.set()
        self._lock = threading.Lock()

    def publish(self, event: Event) -> None:
        """Tell tracker and bus. Terminal events are the lane's business (`close`); after the end nothing is heard."""
        if self.terminal is None and not isinstance(event, TERMINAL):
            self.tracker.feed(event)
            self.bus.publish(event)

    def watched(self) -> bool:
        """Whether anybody would see a preview: a listener that shows them, or a client that asks for progress."""
        return self.bus.is_looked_at(self.job_id) or self.tracker.was_read(WATCH_SECONDS)

    def announce(self, position: int) -> None:
        """Say that the job is stored and waits behind `position` others."""
        self.publish(JobQueued(self.job_id, position))
        self.announced.set()

    def close(self, event: Event, outcome: GenerationResult | StudioError) -> None:
        """End the ticket with its one terminal event; listeners hear it before waiters wake. A second call is nothing.

        No lock is held while listeners run: they may call the queue.
        """
        with self._lock:
            if self.terminal is not None:
                return
            self.terminal = event
        self.tracker.end(STATES[type(event)])
        self.bus.publish(event)
        self.settle(outcome)

    def pixels(self) -> int:
        """How many pixels of finished pictures this ticket keeps in memory."""
        if not self.outcome.done() or self.outcome.exception() is not None:
            return 0
        sizes = (picture.image.size for picture in self.outcome.result().pictures)
        return sum(width * height for width, height in sizes)

    def settle(self, outcome: GenerationResult | StudioError) -> None:
        """Wake the waiters without an event, for a job that goes on in a later process."""
        with self._lock:
            if self.outcome.done():
                return
            if isinstance(outcome, StudioError):
                self.outcome.set_exception(outcome)
            else:
                self.outcome.set_result(outcome)


def remember(record: JobRecord, bus: EventBus) -> Ticket:
    """A closed ticket for a job that has ended and of which only the row is left."""
    ticket = Ticket(record.id, record.owner, bus, inherited=True)
    sentence = f"The pictures of job {record.id} are no longer in memory; those that were saved are in the gallery."
    error = StudioError(sentence)
    if record.state == "failed":
        error = restore(record.error_kind or StudioError.kind, record.error or "The job failed.")
        ticket.terminal = JobFailed(record.id, error.kind, error.message)
    else:
        ticket.terminal = JobDone(record.id) if record.state == "done" else JobCancelled(record.id)
    ticket.tracker.end(record.state)
    ticket.settle(error)
    return ticket


class Recent:
    """Keeps ended jobs in memory although nobody holds their handle, the latest ones within a budget of pixels."""

    def __init__(self, jobs: int = RECENT_JOBS, pixels: int = RECENT_PIXELS) -> None:
        self._jobs = jobs
        self._budget = pixels
        self._kept: deque[tuple[Ticket, int]] = deque()

    def add(self, ticket: Ticket) -> None:
        """Keep a ticket that has ended; the oldest ones are let go of."""
        self._kept.append((ticket, ticket.pixels()))
        while len(self._kept) > self._jobs or sum(pixels for _, pixels in self._kept) > self._budget:
            self._kept.popleft()


class Handle:
    """A `modules.contracts.jobs.JobHandle`. Holding one keeps the job's pictures in memory."""

    def __init__(self, ticket: Ticket, cancel: Callable[[str], bool]) -> None:
        self._ticket = ticket
        self._cancel = cancel

    @property
    def id(self) -> str:
        """The job's id."""
        return self._ticket.job_id

    async def result(self) -> GenerationResult:
        """Wait for the end. Raises the job's `StudioError` when it failed.

        A cancelled job gives what was finished, with `interrupted` set. Several may wait; one that stops waiting does
        not stop the job.
        """
        return await asyncio.wrap_future(self._ticket.outcome)

    def wait(self, timeout: float | None = None) -> GenerationResult:
        """The same for callers outside an event loop; raises `TimeoutError` after `timeout` seconds."""
        return self._ticket.outcome.result(timeout)

    async def events(self) -> AsyncIterator[Event]:
        """Events from now on, ending after the terminal one; of a job that has ended, that one alone."""
        loop = asyncio.get_running_loop()
        pending: asyncio.Queue[Event] = asyncio.Queue()

        def receive(event: Event) -> None:
            if event.job_id == self.id and not loop.is_closed():
                loop.call_soon_threadsafe(pending.put_nowait, event)

        with self._ticket.bus.listening(receive, looks_at=self.id):
            if self._ticket.terminal is not None:
                yield self._ticket.terminal
                return
            while True:
                event = await pending.get()
                yield event
                if isinstance(event, TERMINAL):
                    return

    def iterate(self) -> Iterator[Event]:
        """The same for callers outside an event loop. Listening begins with this call, not with the first `next`.

        Nobody is taken to look at previews for it: there are some only when another one watches.
        """
        pending: queue.SimpleQueue[Event] = queue.SimpleQueue()

        def receive(event: Event) -> None:
            if event.job_id == self.id:
                pending.put(event)

        unsubscribe = self._ticket.bus.subscribe(receive)
        if self._ticket.terminal is not None:
            unsubscribe()
            return iter((self._ticket.terminal,))
        return _drain(pending, unsubscribe)

    def cancel(self) -> None:
        """Ask the job to stop, queued or running."""
        self._cancel(self.id)


def _drain(pending: queue.SimpleQueue[Event], unsubscribe: Callable[[], None]) -> Iterator[Event]:
    try:
        while True:
            event = pending.get()
            yield event
            if isinstance(event, TERMINAL):
                return
    finally:
        unsubscribe()
