"""The queue that the fronts see: takes jobs, writes them down, and lets lanes run them in the order they came."""

from __future__ import annotations

import builtins
import dataclasses
import logging
import random
import threading
import uuid
from collections.abc import Callable
from weakref import WeakValueDictionary

from sqlalchemy.exc import SQLAlchemyError

from modules.call_queue.database import Tenancy
from modules.call_queue.handle import Handle, Recent, Ticket, remember
from modules.call_queue.lanes import Conductor, Run, start_lane
from modules.call_queue.recovery import recover
from modules.call_queue.store import JobStore
from modules.call_queue.tables import SET_ASIDE, SET_ASIDE_KIND
from modules.contracts.errors import InvalidRequest, NotReady, StudioError
from modules.contracts.events import JobCancelled, JobFailed
from modules.contracts.jobs import JobHandle, JobProgress, JobRecord, JobState
from modules.contracts.pictures import PictureStore
from modules.contracts.request import MAX_SEED, GenerationRequest
from modules.contracts.result import GenerationResult
from modules.contracts.run import Engine
from modules.contracts.validation import validate
from modules.support.bus import EventBus

log = logging.getLogger(__name__)
RETRY_SECONDS = 2.0
DEPTH = 10_000
"""Waiting jobs above which no more are taken."""
ID_LENGTH = 128


class CallQueue:
    """A `modules.contracts.jobs.JobQueue` over a database: a job is stored before `submit` returns and ends once.

    `engine_provider` blocks until the engine stands; when it raises, jobs of this process fail with its error and jobs
    of an earlier one keep waiting for a start that succeeds. All methods are safe from any thread.
    """

    def __init__(
        self,
        engine_provider: Callable[[], Engine],
        store: JobStore,
        bus: EventBus,
        pictures: PictureStore,
        lanes: int = 1,
    ) -> None:
        self._provide = engine_provider
        self._store = store
        self._bus = bus
        self._conductor = Conductor(store, pictures)
        self._lanes = max(1, lanes)
        self._tenancy = Tenancy(store.engine)
        self._change = threading.Condition()
        self._open: dict[str, Ticket] = {}
        self._running: dict[str, Run] = {}
        self._known: WeakValueDictionary[str, Ticket] = WeakValueDictionary()
        self._recent = Recent()
        self._threads: builtins.list[threading.Thread] = []
        self._stopping = False
        self._broken: StudioError | None = None

    def start(self) -> None:
        """Take up the jobs that an earlier process left and start the lanes. Returns at once.

        Raises `DeviceUnavailable` when another process runs the jobs of this database. A queue that was stopped stays
        so; the next start builds a new one.
        """
        if self._threads or self._stopping:
            return
        self._tenancy.take()
        left = recover(self._store.engine)
        for job_id in left.set_aside:
            self._bus.publish(JobFailed(job_id, SET_ASIDE_KIND, SET_ASIDE))
        for job_id in left.cancelled:
            self._bus.publish(JobCancelled(job_id))
        self._threads = [start_lane(index, self._work) for index in range(self._lanes)]

    def stop(self, timeout: float = 15.0) -> None:
        """Ask running jobs to stop and put them back into the queue, without blame; safe to call twice.

        Waits up to `timeout` seconds for them; a lane that does not return by then is left behind, and what it does
        afterwards no longer counts. Whoever waits for a job gets `NotReady`.
        """
        with self._change:
            self._stopping = True
            for run in self._running.values():
                run.requeue = True
                run.context.cancelled.set()
            self._change.notify_all()
            # Lanes that still wait for the engine are not waited for: they find the queue closed when it comes.
            self._change.wait_for(lambda: not self._running, timeout)
            left, tickets = list(self._running), list(self._open.values())
            self._open.clear()
        if left:
            log.warning("%d jobs did not stop in %.0f s; they start again with the studio", len(left), timeout)
            self._store.release(left)
        for ticket in tickets:
            ticket.settle(
                NotReady(f"The studio closed before job {ticket.job_id} ended; it goes on at the next start.")
            )
        self._tenancy.leave()

    def submit(self, request: GenerationRequest, owner: str, *, job_id: str | None = None) -> JobHandle:
        """Store the job and return its handle.

        A seed of -1 is drawn here, so that a job that is started again after a crash gives the same pictures. Raises
        `InvalidRequest` before storing anything that is out of bounds, and `NotReady` when the queue is full or closed.
        """
        validate(request)
        chosen = _checked(job_id)
        self._check_open()
        waiting = self._store.pending()
        if waiting >= DEPTH:
            raise NotReady(f"{waiting} jobs are waiting already; at most {DEPTH} are taken.")
        ticket = Ticket(chosen, owner, self._bus)
        with self._change:
            self._store.add(chosen, owner, _with_seeds(request))
            self._open[chosen] = self._known[chosen] = ticket
        ticket.announce(self._store.position(chosen))
        with self._change:
            self._change.notify_all()
        broken = self._broken
        if broken is not None:
            self._give_up(broken)  # the engine failed while the job was being written down
        return Handle(ticket, self.cancel)

    def _check_open(self) -> None:
        if self._stopping:
            raise NotReady("The studio is closing and takes no more jobs.")
        if self._broken is not None:
            raise self._broken

    def handle(self, job_id: str) -> JobHandle | None:
        """The handle of a job that was submitted earlier, perhaps to an earlier process; None for an unknown id.

        When the pictures of a job that has ended are no longer in memory, waiting for it raises one clear sentence, or
        the error that it ended with.
        """
        with self._change:
            ticket = self._known.get(job_id)
            if ticket is None:
                record = self._store.get(job_id)
                if record is None:
                    return None
                waits = record.state in ("queued", "running")
                ticket = self._adopt(job_id, record.owner) if waits else remember(record, self._bus)
        return Handle(ticket, self.cancel)

    def get(self, job_id: str) -> JobRecord | None:
        """The stored row."""
        return self._store.get(job_id)

    def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> builtins.list[JobRecord]:
        """Rows, newest first unless `oldest_first`; `limit` cuts off the end of that order."""
        return self._store.list(owner=owner, state=state, limit=limit, oldest_first=oldest_first)

    def progress(self, job_id: str) -> JobProgress | None:
        """Where that job stands; None when it is not known."""
        ticket = self._known.get(job_id)
        if ticket is not None:
            return ticket.tracker.read(self._store.position(job_id))
        record = self._store.get(job_id)
        if record is None:
            return None
        done = 1.0 if record.state == "done" else 0.0
        return JobProgress(job_id, record.state, done, 0, 0, 0, 1, "", None, None, self._store.position(job_id))

    def running(self, owner: str | None = None) -> builtins.list[JobProgress]:
        """Jobs that run now, oldest first; of one owner when given."""
        with self._change:
            runs = list(self._running.values())
        return [run.ticket.tracker.read() for run in runs if owner is None or run.ticket.owner == owner]

    def pending(self, owner: str | None = None) -> int:
        """Number of jobs queued or running."""
        return self._store.pending(owner)

    def cancel(self, job_id: str) -> bool:
        """Ask a job to stop; False when it had ended or is not known.

        A queued job has ended when this returns; a running one ends at its next step, with what was finished.
        """
        with self._change:
            run = self._running.get(job_id)
            if run is not None and run.ticket.terminal is not None:
                return False
            if run is not None:
                run.cancel_asked = True
                self._store.ask_cancel(job_id)
                run.context.cancelled.set()
                return True
            if not self._store.finish(job_id, "cancelled", expected="queued"):
                return False
            ticket = self._known.get(job_id)
            self._retire(job_id)
            self._change.notify_all()
        nothing = GenerationResult((), {}, interrupted=True)
        (ticket or Ticket(job_id, "", self._bus)).close(JobCancelled(job_id), nothing)
        return True

    def skip(self, job_id: str) -> bool:
        """Leave the current batch of a running job; False when it does not run."""
        with self._change:
            run = self._running.get(job_id)
            if run is not None:
                run.context.skipped.set()
        return run is not None

    def _work(self, lane: int) -> None:
        """The life of one lane."""
        try:
            engine = self._provide()
        except StudioError as error:
            self._give_up(error)
            return
        while self._run_next(engine, lane):
            pass

    def _run_next(self, engine: Engine, lane: int) -> bool:
        """Wait for a job and run it; False when the studio closes.

        A function of its own, so that a lane that waits holds no pictures of the job before.
        """
        run = self._next(lane)
        if run is None:
            return False
        try:
            self._conductor.conduct(engine, run)
        finally:
            with self._change:
                self._running.pop(run.claim.id, None)
                if not self._stopping:
                    self._retire(run.claim.id)
                self._change.notify_all()
        return True

    def _next(self, lane: int) -> Run | None:
        """Wait for a job and take it; None when the studio closes."""
        with self._change:
            while not self._stopping:
                try:
                    claim = self._store.claim()
                except SQLAlchemyError:
                    log.exception("the job table does not answer; trying again in %.0f s", RETRY_SECONDS)
                    self._change.wait(RETRY_SECONDS)
                    continue
                if claim is not None:
                    ticket = self._known.get(claim.id) or self._adopt(claim.id, claim.owner)
                    run = self._running[claim.id] = Run(claim, ticket, lane)
                    return run
                self._change.wait()
        return None

    def _adopt(self, job_id: str, owner: str) -> Ticket:
        """A ticket for a job of an earlier process."""
        ticket = Ticket(job_id, owner, self._bus, inherited=True)
        self._open[job_id] = self._known[job_id] = ticket
        return ticket

    def _retire(self, job_id: str) -> None:
        """Keep an ended job among the recent ones only."""
        ticket = self._open.pop(job_id, None)
        if ticket is not None:
            self._recent.add(ticket)

    def _give_up(self, error: StudioError) -> None:
        """There will be no engine: whoever waits in this process is told; older jobs wait for a better start."""
        with self._change:
            if self._stopping:
                return
            self._broken = error
            tickets = list(self._open.values())
        stored = (error.kind, error.message)
        for ticket in tickets:
            if ticket.inherited:
                ticket.settle(error)
            elif self._store.finish(ticket.job_id, "failed", error=stored, expected="queued"):
                ticket.close(JobFailed(ticket.job_id, *stored), error)
                with self._change:
                    self._retire(ticket.job_id)


def _checked(job_id: str | None) -> str:
    """The caller's id when it is a decent one, else a new one; ids are random so that they cannot be guessed."""
    if job_id is None:
        return uuid.uuid4().hex
    if not job_id.isprintable() or not 0 < len(job_id) <= ID_LENGTH:
        raise InvalidRequest(f"A job's id has 1 to {ID_LENGTH} printable characters; {job_id[:ID_LENGTH]!r} was given.")
    return job_id


def _with_seeds(request: GenerationRequest) -> GenerationRequest:
    """The request with every seed of -1 drawn."""
    seeds = request.seeds
    drawn = {
        name: random.SystemRandom().randint(0, MAX_SEED) for name in ("seed", "subseed") if getattr(seeds, name) == -1
    }
    return dataclasses.replace(request, seeds=dataclasses.replace(seeds, **drawn)) if drawn else request
