"""Jobs as the fronts see them; `modules.call_queue` keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from modules.contracts.events import Event
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult

JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class JobTerms:
    """On what terms a job runs."""

    priority: int = 0
    """-10 to 10; a higher one goes before others of the same owner, never before those of another."""
    deadline: datetime | None = None
    """When it has to be done; a job that is not ends as failed with a `TimedOut`. With a time zone."""
    timeout: float | None = None
    """For how many seconds it may run."""
    idempotency_key: str | None = None
    """Of the owner's choice: submitting the same under the same key again gives the same job."""
    keep_partial: bool = False
    """When it is cancelled: save what is finished, whatever the request says, and keep the last look at the rest."""


LONGEST_NAME = 200
"""Characters of a job's name."""
LONGEST_WORDS = 300
"""Characters of a job's prompt that lists of jobs show."""

PLAIN = JobTerms()
"""No terms at all."""


@dataclass(frozen=True, slots=True)
class JobDetails:
    """What the scheduler knows of a job, and what its owner noted of it."""

    paused: bool = False
    model: str = ""
    """As the request names it; empty is the default."""
    megapixel_steps: float = 0.0
    predicted_seconds: float = 0.0
    """What its owner was charged when it started; 0 before."""
    measured_seconds: float | None = None
    """What it took, loading included."""
    origin: str | None = None
    """The job that it repeats."""
    crashes: int = 0
    """How often the studio died while it ran."""
    name: str = ""
    """What its owner calls it."""
    bookmarked: bool = False
    """It stays in the table, however long ago it ended."""
    words: str = ""
    """The beginning of its prompt, at most `LONGEST_WORDS` characters."""
    mode: str = ""
    """As `GenerationRequest.mode`; empty for a job that an earlier version stored."""


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
    terms: JobTerms = JobTerms()
    details: JobDetails = JobDetails()


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None does not restrict."""

    owner: str | None = None
    states: tuple[JobState, ...] = ()
    """Any of these; empty is all."""
    model: str | None = None
    paused: bool | None = None
    bookmarked: bool | None = None
    since: datetime | None = None
    """Created at that moment or later."""
    until: datetime | None = None
    """Created before that moment."""


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of a list of jobs."""

    jobs: tuple[JobRecord, ...]
    following: int | None
    """To be given as `after` for the next page; None when this is the last."""
    total: int
    """How many there are on all pages together."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of what a job said while it ran."""

    moment: datetime
    attempt: int
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds until a job ends. Four times in five it falls between `low` and `high`, by this machine's past errors."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True)
class OwnerShare:
    """What one owner has had of the lanes."""

    owner: str
    weight: float
    """The part that is due to the owner: twice the weight, twice the time, while both have jobs."""
    used_seconds: float


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
    """Jobs that are to start before it, by fairness, if none comes; 0 when it is next or runs."""
    eta: Eta | None = None
    """Until the end, waiting included; None as long as this machine's speed is not known, and when paused."""


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

    def submit(
        self, request: GenerationRequest, owner: str, *, job_id: str | None = None, terms: JobTerms = PLAIN
    ) -> JobHandle:
        """Store the job and return its handle. Raises `InvalidRequest` before storing anything that is out of bounds.

        `job_id` may be chosen by the caller; one that exists already raises `InvalidRequest`. With an idempotency key
        that this owner has used before, the handle of that job is returned and nothing is stored; `InvalidRequest` when
        it was used for something else.
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

    def pending(self, owner: str | None = None, *, besides: Collection[str] = ()) -> int:
        """Number of jobs queued or running, those of the ids `besides` left out."""

    def waiting_bytes(self, owner: str | None = None) -> int:
        """Bytes of the requests, their pictures included, of jobs that wait; of one owner when given."""

    def cancel(self, job_id: str) -> bool:
        """Ask a job to stop; False when it had ended or is not known."""

    def skip(self, job_id: str) -> bool:
        """Leave the current batch of a running job; False when it does not run."""

    def page(self, wanted: JobFilter, *, limit: int = 100, after: int | None = None) -> JobPage:
        """Jobs of that kind, newest first, at most `limit`; `after` is a page's `following`."""

    def request(self, job_id: str) -> GenerationRequest | None:
        """What was asked for; None for an unknown id, and for an ended job whose pictures are not kept any more."""

    def log(self, job_id: str) -> Sequence[LogLine]:
        """What a job said that runs, failed or was cancelled, oldest first. A job that is done keeps none."""

    def partial(self, job_id: str) -> bytes | None:
        """The last look at the unfinished picture of a cancelled job that was to keep it."""

    def earlier(self, request: GenerationRequest, owner: str, terms: JobTerms) -> JobHandle | None:
        """The job that `submit` would return because this owner has used the idempotency key of these terms before.

        Raises `InvalidRequest` when it was used for something else.
        """

    def check(self, request: GenerationRequest, owner: str, terms: JobTerms = PLAIN) -> bool:
        """Raise what `submit` would raise for this request now, storing and charging nothing.

        So a front can ask before it decodes or fetches pictures: in their place their heads are enough
        (`modules.contracts.enlarging.png_head`). False where the idempotency key was used before: `submit` stores
        nothing new then, whatever is left to the owner.
        """

    def foresee(self, requests: Sequence[GenerationRequest]) -> Eta | None:
        """Seconds until these would be done if nothing else waited; None as long as a speed they need is not known."""

    def requeue(self, job_id: str, *, new_id: str | None = None) -> JobHandle:
        """Ask for the same again, as a new job with the same seeds and the id that is given, else one of its own.

        Raises `InvalidRequest` for a job that has not ended, is not known, or whose request was not kept.
        """

    def move(self, job_id: str, *, before: str | None = None, after: str | None = None, front: bool = True) -> bool:
        """Put a waiting job before or after another one of its owner, else to the front or the back of that owner's.

        The order between owners stays what fairness makes it. False when the job does not wait. Raises `InvalidRequest`
        when the other one does not wait or belongs to somebody else.
        """

    def pause(self, job_id: str | None = None) -> bool:
        """Hold a job back, or start no more jobs at all when none is named. Survives a restart.

        A job that runs is stopped and begins anew when it is resumed. False when it had ended, is paused or not known.
        """

    def resume(self, job_id: str | None = None) -> bool:
        """Undo `pause`; False when there is nothing to undo."""

    def mark(self, job_id: str, *, name: str | None = None, bookmarked: bool | None = None) -> bool:
        """Note what its owner calls a job, and that it is to stay; None leaves either as it is.

        A name has at most `LONGEST_NAME` printable characters, else `InvalidRequest`. False for an unknown job.
        """

    def forget(self, owner: str | None = None) -> int:
        """Take jobs that have ended and are not bookmarked out of the table, of one owner when given; how many.

        Their pictures stay in the gallery.
        """

    @property
    def paused(self) -> bool:
        """No more jobs are started."""

    def shares(self) -> Sequence[OwnerShare]:
        """What each owner has had."""

    def set_weight(self, owner: str, weight: float) -> None:
        """How much of the lanes is due to that owner, from now on. Raises `InvalidRequest` unless it is above 0."""


def freely(job_id: str) -> None:
    """Let any job in."""


class JobService(JobQueue, Protocol):
    """A queue as whoever builds it has it: with a beginning, an end, and a say in what is let in.

    `admit` of both methods is called with the job's id once nothing else stands in its way, just before it is stored;
    what it raises is raised, and nothing is stored. Storing may still fail after it.
    """

    def submit(
        self,
        request: GenerationRequest,
        owner: str,
        *,
        job_id: str | None = None,
        terms: JobTerms = PLAIN,
        admit: Callable[[str], None] = freely,
    ) -> JobHandle:
        """As of any queue."""

    def requeue(self, job_id: str, *, new_id: str | None = None, admit: Callable[[str], None] = freely) -> JobHandle:
        """As of any queue."""

    def start(self) -> None:
        """Take up the jobs that an earlier process left and begin to run them. Returns at once."""

    def stop(self, timeout: float = 15.0) -> None:
        """Put running jobs back and run no more; waits up to `timeout` seconds for them. Safe to call twice."""
