"""What people do with jobs that are stored: look at them, hold them back, move them, ask for them again."""

from __future__ import annotations

import builtins
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence

from modules.call_queue.entrance import Arrival, Entrance
from modules.call_queue.handle import Ticket
from modules.call_queue.lanes import Run
from modules.call_queue.outlook import Oracle, eta_of
from modules.call_queue.store import JobStore
from modules.call_queue.terms import check_terms, digest_of
from modules.contracts.errors import InvalidRequest
from modules.contracts.events import JobPaused, JobResumed
from modules.contracts.jobs import (
    PLAIN,
    Eta,
    JobFilter,
    JobHandle,
    JobPage,
    JobRecord,
    JobState,
    JobTerms,
    LogLine,
    OwnerShare,
    freely,
)
from modules.contracts.request import GenerationRequest
from modules.contracts.validation import validate

ENDED = ("done", "failed", "cancelled")


class Control(ABC):
    """The part of `CallQueue` that starts no lane and ends no job by itself. The contract is in `contracts.jobs`."""

    _store: JobStore
    _oracle: Oracle
    _entrance: Entrance
    _change: threading.Condition
    _stirred: bool
    _running: dict[str, Run]

    @abstractmethod
    def _take_in(self, arrival: Arrival) -> JobHandle:
        """Store it as a job, once it has passed the entrance and its own `admit`."""

    @abstractmethod
    def _same(self, owner: str, terms: JobTerms, digest: str | None) -> JobHandle | None:
        """The job under that owner's key."""

    @abstractmethod
    def _ticket(self, job_id: str) -> Ticket | None:
        """What this process knows of a job."""

    @abstractmethod
    def _check_open(self) -> None:
        """Raise the error that hinders the queue from taking any job."""

    def _stir(self) -> None:
        """Wake whoever waits for the queue to change."""
        self._oracle.changed()
        with self._change:
            self._stirred = True
            self._change.notify_all()

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

    def page(self, wanted: JobFilter, *, limit: int = 100, after: int | None = None) -> JobPage:
        """Jobs of that kind, newest first, at most `limit`; `after` is a page's `following`."""
        return self._store.page(wanted, limit=limit, after=after)

    def request(self, job_id: str) -> GenerationRequest | None:
        """What was asked for; None for an unknown id, and for an ended job whose pictures are not kept any more."""
        return self._store.request(job_id)

    def log(self, job_id: str) -> builtins.list[LogLine]:
        """What a job said that runs, failed or was cancelled, oldest first. A job that is done keeps none."""
        return self._store.journal.read(job_id)

    def partial(self, job_id: str) -> bytes | None:
        """The last look at the unfinished picture of a cancelled job that was to keep it."""
        return self._store.partial(job_id)

    def pending(self, owner: str | None = None, *, besides: Collection[str] = ()) -> int:
        """Number of jobs queued or running, those of the ids `besides` left out."""
        return self._store.pending(owner, besides=besides)

    def waiting_bytes(self, owner: str | None = None) -> int:
        """Bytes of the stored requests of jobs that wait."""
        return self._store.waiting_bytes(owner)

    def earlier(self, request: GenerationRequest, owner: str, terms: JobTerms) -> JobHandle | None:
        """The job that this owner submitted under the same idempotency key."""
        return None if terms.idempotency_key is None else self._same(owner, terms, digest_of(request))

    def check(self, request: GenerationRequest, owner: str, terms: JobTerms = PLAIN) -> bool:
        """Raise what `submit` would raise now; False where the key was used before, so that nothing new is stored."""
        validate(request)
        check_terms(terms, self._store.clock())
        if terms.idempotency_key is not None and self._store.find_key(owner, terms.idempotency_key) is not None:
            return False
        self._check_open()
        self._entrance.check(request, owner, self._store)
        return True

    def foresee(self, requests: Sequence[GenerationRequest]) -> Eta | None:
        """Seconds until these would be done if nothing else waited; None as long as a speed they need is not known."""
        return eta_of(self._oracle.foresee(requests))

    def requeue(self, job_id: str, *, new_id: str | None = None, admit: Callable[[str], None] = freely) -> JobHandle:
        """Ask for the same again, as a new job of the same owner with the same seeds and terms.

        A deadline and an idempotency key are not taken over: the one has had its day, the other stands for the first
        job. Raises `InvalidRequest` for a job that has not ended, is not known, or whose request was not kept.
        """
        record = self._store.get(job_id)
        if record is None:
            raise InvalidRequest(f"There is no job {job_id!r}.")
        if record.state not in ENDED:
            raise InvalidRequest(f"Job {job_id!r} is {record.state}; only one that has ended can be asked for again.")
        request = self._store.request(job_id)
        if request is None:
            raise InvalidRequest(f"The pictures that came with job {job_id!r} are not kept any more; send it again.")
        old = record.terms
        terms = JobTerms(priority=old.priority, timeout=old.timeout, keep_partial=old.keep_partial)
        return self._take_in(Arrival(request, record.owner, new_id, terms, admit, origin=job_id))

    def move(self, job_id: str, *, before: str | None = None, after: str | None = None, front: bool = True) -> bool:
        """Put a waiting job before or after another one of its owner, else to the front or the back of that owner's.

        False when the job does not wait. Raises `InvalidRequest` when the other one does not wait or belongs to
        somebody else.
        """
        moved = self._store.move(job_id, before=before, after=after, front=front)
        self._oracle.changed()
        return moved

    def pause(self, job_id: str | None = None) -> bool:
        """Hold a job back, or start no more jobs at all when none is named. Survives a restart.

        A job that runs stops at its next step and begins anew when it is resumed. False when it had ended, is held back
        already or is not known.
        """
        if job_id is None:
            changed = self._store.hold(True)
            self._oracle.changed()
            return changed
        with self._change:
            waited = self._store.pause(job_id)
            running = not waited and self._store.ask_pause(job_id)
            run = self._running.get(job_id)
            if running and run is not None:
                run.pause_asked = True
                run.context.cancelled.set()
        ticket = self._ticket(job_id)
        if waited and ticket is not None:
            ticket.publish(JobPaused(job_id))  # of one that runs the lane says so, once it has stopped
        self._oracle.changed()
        return waited or running

    def resume(self, job_id: str | None = None) -> bool:
        """Undo `pause`; False when there is nothing to undo."""
        changed = self._store.hold(False) if job_id is None else self._store.resume(job_id)
        ticket = None if job_id is None else self._ticket(job_id)
        if changed and ticket is not None:
            ticket.publish(JobResumed(ticket.job_id))
        if changed:
            self._stir()
        return changed

    def mark(self, job_id: str, *, name: str | None = None, bookmarked: bool | None = None) -> bool:
        """Note what its owner calls a job, and that it is to stay in the table. False for an unknown one."""
        return self._store.mark(job_id, name=name, bookmarked=bookmarked)

    def forget(self, owner: str | None = None) -> int:
        """Take ended jobs without a bookmark out of the table, of one owner when given; how many."""
        return self._store.forget(owner)

    @property
    def paused(self) -> bool:
        """No more jobs are started."""
        return self._store.held()

    def shares(self) -> builtins.list[OwnerShare]:
        """What each owner has had."""
        return self._store.owners()

    def set_weight(self, owner: str, weight: float) -> None:
        """How much of the lanes is due to that owner, from now on. Raises `InvalidRequest` unless it is above 0."""
        self._store.set_weight(owner, weight)
        self._oracle.changed()
