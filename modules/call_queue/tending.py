"""Keeping an open queue in order: time that runs out, processes that die, jobs that others ran."""

from __future__ import annotations

from abc import abstractmethod
from weakref import WeakValueDictionary

from modules.call_queue.control import ENDED, Control
from modules.call_queue.handle import Ticket, remember
from modules.call_queue.recovery import recover
from modules.call_queue.tables import SET_ASIDE, SET_ASIDE_KIND
from modules.call_queue.tenancy import Tenancy
from modules.call_queue.upkeep import limit_of, next_look, overdue, passed_deadline
from modules.contracts.errors import StudioError
from modules.contracts.events import JobCancelled, JobFailed
from modules.contracts.result import GenerationResult
from modules.support.bus import EventBus


class Tending(Control):
    """The part of `CallQueue` that acts by itself."""

    _bus: EventBus
    _tenancy: Tenancy
    _open: dict[str, Ticket]
    _known: WeakValueDictionary[str, Ticket]
    _stopping: bool

    @abstractmethod
    def _retire(self, job_id: str) -> None:
        """Keep an ended job among the recent ones only."""

    def _take_up(self) -> None:
        """Put back what processes left running that have died."""
        left = recover(self._store.engine, self._tenancy)
        for job_id in left.set_aside:
            self._bus.publish(JobFailed(job_id, SET_ASIDE_KIND, SET_ASIDE))
        for job_id in left.cancelled:
            self._bus.publish(JobCancelled(job_id))
        if left.queued:
            self._stir()

    def tend(self) -> float | None:
        """Do what is due now; seconds until something else is, None when nothing is in sight.

        Ends waiting jobs whose deadline has passed and stops runs whose time is up. Where the database is shared, also
        does to the jobs of this process what others asked for, takes up what a dead process left, and tells those who
        wait here for a job that ended elsewhere. A thread of the queue calls it when it is due.
        """
        now = self._store.clock()
        for job_id in self._store.overdue():
            self._expire(job_id)
        with self._change:
            if self._stopping:
                return None
            runs = list(self._running.values())
        for run in runs:
            late = overdue(run, run.began, now)
            if late is not None and run.overdue is None:
                run.overdue = late
                run.context.cancelled.set()
        if self._tenancy.shared:
            self._look_round()
        limits = [limit_of(run, run.began) for run in runs if run.overdue is None]
        return next_look(self._store, [one for one in limits if one is not None], shared=self._tenancy.shared)

    def _expire(self, job_id: str) -> None:
        record = self._store.get(job_id)
        if record is None or record.terms.deadline is None:
            return
        late = passed_deadline(record.terms.deadline.timestamp())
        with self._change:
            if not self._store.finish(job_id, "failed", error=(late.kind, late.message), expected="queued"):
                return
            ticket = self._known.get(job_id) or Ticket(job_id, record.owner, self._bus)
            self._retire(job_id)
        ticket.close(JobFailed(job_id, late.kind, late.message), late)
        self._stir()

    def _look_round(self) -> None:
        """What other processes did to the jobs of a database that they share with this one."""
        self._tenancy.renew()
        self._take_up()
        cancelled, held = self._store.asked()
        with self._change:
            for run in self._running.values():
                run.cancel_asked = run.cancel_asked or run.claim.id in cancelled
                run.pause_asked = run.pause_asked or run.claim.id in held
                if run.cancel_asked or run.pause_asked:
                    run.context.cancelled.set()
            elsewhere = [job_id for job_id in self._open if job_id not in self._running]
        for job_id in elsewhere:
            record = self._store.get(job_id)
            if record is not None and record.state in ENDED:
                self._tell(job_id)

    def _tell(self, job_id: str) -> None:
        """Close the ticket of a job that another process has ended."""
        with self._change:
            ticket = self._open.get(job_id)
            record = self._store.get(job_id)
            if ticket is None or record is None or job_id in self._running:
                return
            self._retire(job_id)
        seen = remember(record, self._bus)
        error = seen.outcome.exception()
        interrupted = GenerationResult((), {}, interrupted=True)
        if seen.terminal is not None:
            outcome = error if record.state != "cancelled" and isinstance(error, StudioError) else interrupted
            ticket.close(seen.terminal, outcome)
