"""A queue that hands everything on to another one: what a queue with a task of its own stands on."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Sequence

from modules.contracts.jobs import (
    PLAIN,
    Eta,
    JobFilter,
    JobHandle,
    JobPage,
    JobProgress,
    JobRecord,
    JobService,
    JobState,
    JobTerms,
    LogLine,
    OwnerShare,
    freely,
)
from modules.contracts.request import GenerationRequest


class Relay:
    """A `JobService` of which every method is that of the queue behind it. See there for what they promise."""

    def __init__(self, inner: JobService) -> None:
        self._inner = inner

    def start(self) -> None:
        """Begin to run jobs."""
        self._inner.start()

    def stop(self, timeout: float = 15.0) -> None:
        """Run no more jobs."""
        self._inner.stop(timeout)

    def submit(
        self,
        request: GenerationRequest,
        owner: str,
        *,
        job_id: str | None = None,
        terms: JobTerms = PLAIN,
        admit: Callable[[str], None] = freely,
    ) -> JobHandle:
        """Store a job."""
        return self._inner.submit(request, owner, job_id=job_id, terms=terms, admit=admit)

    def earlier(self, request: GenerationRequest, owner: str, terms: JobTerms) -> JobHandle | None:
        """The job under that idempotency key."""
        return self._inner.earlier(request, owner, terms)

    def check(self, request: GenerationRequest, owner: str, terms: JobTerms = PLAIN) -> bool:
        """Whether it would be taken."""
        return self._inner.check(request, owner, terms)

    def foresee(self, requests: Sequence[GenerationRequest]) -> Eta | None:
        """How long they would take."""
        return self._inner.foresee(requests)

    def requeue(self, job_id: str, *, new_id: str | None = None, admit: Callable[[str], None] = freely) -> JobHandle:
        """Ask for the same again."""
        return self._inner.requeue(job_id, new_id=new_id, admit=admit)

    def get(self, job_id: str) -> JobRecord | None:
        """The stored row."""
        return self._inner.get(job_id)

    def handle(self, job_id: str) -> JobHandle | None:
        """The handle of an earlier job."""
        return self._inner.handle(job_id)

    def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Sequence[JobRecord]:
        """Rows in order."""
        return self._inner.list(owner=owner, state=state, limit=limit, oldest_first=oldest_first)

    def page(self, wanted: JobFilter, *, limit: int = 100, after: int | None = None) -> JobPage:
        """Jobs of that kind."""
        return self._inner.page(wanted, limit=limit, after=after)

    def progress(self, job_id: str) -> JobProgress | None:
        """Where a job stands."""
        return self._inner.progress(job_id)

    def running(self, owner: str | None = None) -> Sequence[JobProgress]:
        """Jobs that run now."""
        return self._inner.running(owner)

    def pending(self, owner: str | None = None, *, besides: Collection[str] = ()) -> int:
        """How many run or wait."""
        return self._inner.pending(owner, besides=besides)

    def waiting_bytes(self, owner: str | None = None) -> int:
        """How large the requests are that wait."""
        return self._inner.waiting_bytes(owner)

    def cancel(self, job_id: str) -> bool:
        """Ask a job to stop."""
        return self._inner.cancel(job_id)

    def skip(self, job_id: str) -> bool:
        """Leave a batch."""
        return self._inner.skip(job_id)

    def request(self, job_id: str) -> GenerationRequest | None:
        """What was asked for."""
        return self._inner.request(job_id)

    def log(self, job_id: str) -> Sequence[LogLine]:
        """What a job said."""
        return self._inner.log(job_id)

    def partial(self, job_id: str) -> bytes | None:
        """The last look at a cancelled job."""
        return self._inner.partial(job_id)

    def move(self, job_id: str, *, before: str | None = None, after: str | None = None, front: bool = True) -> bool:
        """Change the order of an owner's jobs."""
        return self._inner.move(job_id, before=before, after=after, front=front)

    def pause(self, job_id: str | None = None) -> bool:
        """Hold back a job, or all."""
        return self._inner.pause(job_id)

    def resume(self, job_id: str | None = None) -> bool:
        """Undo `pause`."""
        return self._inner.resume(job_id)

    def mark(self, job_id: str, *, name: str | None = None, bookmarked: bool | None = None) -> bool:
        """Note something of a job."""
        return self._inner.mark(job_id, name=name, bookmarked=bookmarked)

    def forget(self, owner: str | None = None) -> int:
        """Take ended jobs out of the table."""
        return self._inner.forget(owner)

    @property
    def paused(self) -> bool:
        """No more jobs are started."""
        return self._inner.paused

    def shares(self) -> builtins.list[OwnerShare]:
        """What each owner has had."""
        return builtins.list(self._inner.shares())

    def set_weight(self, owner: str, weight: float) -> None:
        """How much is due to an owner."""
        self._inner.set_weight(owner, weight)
