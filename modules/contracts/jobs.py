"""Jobs as the fronts see them; `modules.call_queue` keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from modules.contracts.events import Event
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult

JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One row of the job table."""

    id: str
    owner: str
    state: JobState
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0
    """How often a lane took it; more than one after a restart."""
    pictures: int = 0
    error_kind: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Where a job stands now."""

    job_id: str
    state: JobState
    progress: float
    step: int
    steps: int
    batch: int
    batches: int
    stage: str
    eta_seconds: float | None
    preview: bytes | None
    """Latest encoded preview picture."""
    position: int = 0
    """Jobs before it; 0 when running."""


class JobHandle(Protocol):
    """One submitted job."""

    @property
    def id(self) -> str:
        """The job's id."""

    async def result(self) -> GenerationResult:
        """Wait for the end. Raises the job's `StudioError` when it failed.

        A cancelled job gives what was finished, with `interrupted` set.
        """

    def wait(self, timeout: float | None = None) -> GenerationResult:
        """The same for callers outside an event loop; raises `TimeoutError` after `timeout` seconds."""

    def events(self) -> AsyncIterator[Event]:
        """Events from now on, ending after the terminal one."""

    def iterate(self) -> Iterator[Event]:
        """The same for callers outside an event loop."""

    def cancel(self) -> None:
        """Ask the job to stop, queued or running."""


class JobQueue(Protocol):
    """Takes jobs, keeps them, runs them."""

    def submit(self, request: GenerationRequest, owner: str, *, job_id: str | None = None) -> JobHandle:
        """Store the job and return its handle. Raises `InvalidRequest` before storing anything that is out of bounds.

        `job_id` may be chosen by the caller; one that exists already raises `InvalidRequest`.
        """

    def get(self, job_id: str) -> JobRecord | None:
        """The stored row."""

    def handle(self, job_id: str) -> JobHandle | None:
        """The handle of a job that was submitted earlier, perhaps to an earlier process; None for an unknown id.

        It keeps no pictures in memory before it is asked for. Waiting for one that has ended and whose pictures were
        let go of raises a `StudioError` that says so, or the error that it ended with.
        """

    def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Sequence[JobRecord]:
        """Rows, newest first unless `oldest_first`; `limit` cuts off the end of that order."""

    def progress(self, job_id: str) -> JobProgress | None:
        """Where that job stands; None when it is not known."""

    def running(self, owner: str | None = None) -> Sequence[JobProgress]:
        """Jobs that run now, oldest first; of one owner when given."""

    def pending(self, owner: str | None = None) -> int:
        """Number of jobs queued or running."""

    def cancel(self, job_id: str) -> bool:
        """Ask a job to stop; False when it had ended or is not known."""

    def skip(self, job_id: str) -> bool:
        """Leave the current batch of a running job; False when it does not run."""
