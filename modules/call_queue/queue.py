"""The queue that the fronts see: takes jobs, writes them down, and lets lanes run them in the order that is fair."""

from __future__ import annotations

import builtins
import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy.exc import SQLAlchemyError

from modules.call_queue.additions import with_own, with_seeds
from modules.call_queue.entrance import OPEN, Arrival, Entrance
from modules.call_queue.estimates import Spread
from modules.call_queue.handle import Handle, Recent, Ticket, remember
from modules.call_queue.journal import JournalHandler
from modules.call_queue.lanes import Conductor, Run, start_lane
from modules.call_queue.outlook import Oracle, eta_of, remaining, scale
from modules.call_queue.store import Claim, JobStore
from modules.call_queue.tenancy import tenancy_of
from modules.call_queue.tending import Tending
from modules.call_queue.terms import check_terms, checked_id, digest_of
from modules.call_queue.upkeep import LOOK_SECONDS, Upkeep
from modules.contracts.errors import InvalidRequest, NotReady, StudioError
from modules.contracts.events import JobCancelled, JobFailed
from modules.contracts.jobs import PLAIN, JobHandle, JobProgress, JobTerms, freely
from modules.contracts.pictures import PictureStore
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult
from modules.contracts.run import Engine
from modules.contracts.validation import validate
from modules.support.bus import EventBus
from modules.support.log import about

log = logging.getLogger(__name__)
RETRY_SECONDS = 2.0


def _nothing(owner: str) -> Mapping[str, Any]:
    """Of a studio where nobody has settings of their own."""
    return {}


class CallQueue(Tending):
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
        entrance: Entrance = OPEN,
        own: Callable[[str], Mapping[str, Any]] = _nothing,
    ) -> None:
        """`own` gives the settings of an owner that go along with each of their jobs; those of the request win."""
        self._own = own
        self._entrance = entrance
        self._provide = engine_provider
        self._store = store
        self._bus = bus
        self._pictures = pictures
        self._conductor = Conductor(store, pictures)
        self._lanes = max(1, lanes)
        self._tenancy = tenancy_of(store.engine)
        store.worker, store.lanes = self._tenancy.worker, self._lanes
        self._upkeep = Upkeep(self.tend)
        self._journal = JournalHandler(store.journal)
        self._oracle = Oracle(store, self._lanes, self._left)
        self._last_models: set[str] = set()
        self._change = threading.Condition()
        self._stirred = True
        """There may be a job to take. Lanes look into the table only then, and one after the other."""
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
        logging.getLogger().addHandler(self._journal)
        self._take_up()
        self._threads = [start_lane(index, self._work) for index in range(self._lanes)]
        self._upkeep.start()

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
        self._upkeep.stop(timeout)
        logging.getLogger().removeHandler(self._journal)
        self._tenancy.leave()

    def submit(
        self,
        request: GenerationRequest,
        owner: str,
        *,
        job_id: str | None = None,
        terms: JobTerms = PLAIN,
        admit: Callable[[str], None] = freely,
    ) -> JobHandle:
        """Store the job and return its handle.

        A seed of -1 is drawn here, so that a job that is started again after a crash gives the same pictures. Raises
        `InvalidRequest` before storing anything that is out of bounds, and `NotReady` when the queue is full or closed.
        With an idempotency key that this owner has used before, the handle of that job is returned and nothing is
        stored; `InvalidRequest` when the key was used for another request.
        """
        return self._take_in(Arrival(request, owner, job_id, terms, admit))

    def _take_in(self, arrival: Arrival) -> JobHandle:
        request, owner, job_id, terms = arrival.request, arrival.owner, arrival.job_id, arrival.terms
        validate(request)
        check_terms(terms, self._store.clock())
        chosen = checked_id(job_id)
        digest = None if terms.idempotency_key is None else digest_of(request)
        known = self._same(owner, terms, digest)
        if known is not None:
            return known
        # The job itself may be gone from the table; its pictures would be taken for those of the new one.
        if job_id is not None and (self._store.get(chosen) or self._pictures.list(job_id=chosen, limit=1)):
            raise InvalidRequest(f"There is a job {chosen!r} already; choose another id, or none.")
        self._check_open()
        return self._store_away(arrival, chosen, digest)

    def _store_away(self, arrival: Arrival, chosen: str, digest: str | None) -> JobHandle:
        request, owner, terms = arrival.request, arrival.owner, arrival.terms
        self._entrance.check(request, owner, self._store)
        ticket = Ticket(chosen, owner, self._bus)
        whole = with_own(with_seeds(request), self._own(owner))
        arrival.admit(chosen)
        try:
            with self._change:
                fits = partial(self._entrance.check_room, whole)  # again, so that no two fill the same room
                self._store.add(chosen, owner, whole, terms, digest=digest, origin=arrival.origin, fits=fits)
                self._open[chosen] = self._known[chosen] = ticket
        except InvalidRequest:
            known = self._same(owner, terms, digest)  # somebody was quicker with the same key
            if known is None:
                raise
            return known
        self._oracle.changed()
        with about(job_id=chosen):
            log.info("job %s is queued", chosen)
            outlook = self._oracle.of(chosen)
            ticket.announce(0 if outlook is None else outlook.position)
        self._stir()
        if terms.deadline is not None:
            self._upkeep.wake()
        if (broken := self._broken) is not None:
            self._give_up(broken)  # the engine failed while the job was being written down
        return Handle(ticket, self.cancel)

    def _same(self, owner: str, terms: JobTerms, digest: str | None) -> JobHandle | None:
        """The job that this owner submitted under that key. Raises `InvalidRequest` when it asks for something else."""
        key = terms.idempotency_key
        found = None if key is None else self._store.find_key(owner, key)
        if found is None:
            return None
        if found[1] != digest:
            raise InvalidRequest(f"The idempotency key {key!r} was used for another request; choose a new one.")
        return self.handle(found[0])

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

    def progress(self, job_id: str) -> JobProgress | None:
        """Where that job stands; None when it is not known."""
        ticket = self._known.get(job_id)
        if ticket is None:
            record = self._store.get(job_id)
            if record is None:
                return None
            done = 1.0 if record.state == "done" else 0.0
            now = JobProgress(job_id, record.state, done, 0, 0, 0, 1, "", None, None)
        else:
            now = ticket.tracker.read()
        if now.state == "running":
            return self._with_eta(now)
        outlook = self._oracle.of(job_id) if now.state == "queued" else None
        if outlook is None:
            return now
        likely = None if outlook.end is None else outlook.end.likely
        return dataclasses.replace(now, position=outlook.position, eta=eta_of(outlook.end), eta_seconds=likely)

    def _with_eta(self, now: JobProgress) -> JobProgress:
        with self._change:
            run = self._running.get(now.job_id)
        spread = None if run is None else self._left_of(run, now)
        likely = now.eta_seconds if spread is None else spread.likely
        return dataclasses.replace(now, eta=eta_of(spread), eta_seconds=likely)

    def _left_of(self, run: Run, now: JobProgress) -> Spread | None:
        """Seconds left to a job that runs here: by its own steps where there are some, else by its prediction."""
        whole = self._oracle.predict(run.claim.model, run.claim.work)
        if now.eta_seconds is not None:
            return scale(now.eta_seconds, whole)
        return remaining(whole, self._store.clock() - run.began)

    def _left(self) -> dict[str, Spread | None]:
        with self._change:
            runs = list(self._running.values())
        return {run.claim.id: self._left_of(run, run.ticket.tracker.peek()) for run in runs}

    def running(self, owner: str | None = None) -> builtins.list[JobProgress]:
        """Jobs that run now, oldest first; of one owner when given."""
        with self._change:
            # A lane is busy a little longer than its job, which has ended for whoever waits for it.
            runs = [run for run in self._running.values() if run.ticket.terminal is None]
        return [self._with_eta(run.ticket.tracker.read()) for run in runs if owner in (None, run.ticket.owner)]

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
                return self._store.ask_cancel(job_id)  # it may run in another process, which will look
            ticket = self._known.get(job_id)
            self._retire(job_id)
        self._stir()
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
                if not self._stopping and run.ticket.terminal is not None:
                    self._retire(run.claim.id)
            self._stir()
        return True

    def _next(self, lane: int) -> Run | None:
        """Wait for a job and take it; None when the studio closes."""
        with self._change:
            while not self._stopping:
                if not self._stirred:
                    if not self._change.wait(LOOK_SECONDS if self._tenancy.shared else None):
                        self._stirred = True  # another process may have stored one
                    continue
                try:
                    claim = self._store.claim(self._resident())
                except SQLAlchemyError:
                    log.exception("the job table does not answer; trying again in %.0f s", RETRY_SECONDS)
                    self._change.wait(RETRY_SECONDS)
                    continue
                self._stirred = claim is not None and claim.others
                if claim is not None:
                    return self._begin(claim, lane)
        return None

    def _begin(self, claim: Claim, lane: int) -> Run:
        """Note down the run of a job that this lane has taken; `_change` is held."""
        ticket = self._known.get(claim.id) or self._adopt(claim.id, claim.owner)
        run = self._running[claim.id] = Run(claim, ticket, lane, began=self._store.clock())
        for neighbour in self._running.values():
            neighbour.company = max(neighbour.company, len(self._running))
        run.models.add(claim.model)
        self._last_models = run.models
        self._oracle.changed()
        if claim.timeout is not None:
            self._upkeep.wake()
        return run

    def _resident(self) -> set[str]:
        """The models that are surely in memory: those of the jobs that run, or of the last one."""
        running = [run.models for run in self._running.values()]
        return set().union(*(running or [self._last_models]))

    def _ticket(self, job_id: str) -> Ticket | None:
        return self._known.get(job_id)

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
