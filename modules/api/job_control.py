"""What people do with jobs that wait, run or have ended; and with the queue as a whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from modules.api.access import job_of, owner_wanted
from modules.api.job_rows import JobView
from modules.api.jobs import CLEAN, REFUSED, address_of, view
from modules.api.paging import Page, Paging, cut
from modules.api.services import Admin, Member, Person, Services
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import LONGEST_NAME, JobRecord
from modules.support.studio import Studio

router = APIRouter(prefix="/api/v1", tags=["queue"])
MOST_WAITING = 1000
OwnerName = Annotated[str, Path(min_length=1, max_length=64, pattern=CLEAN, examples=["bob"])]
WAITS = "only a job that waits can be moved"


class MoveWanted(BaseModel):
    """Where to: before or after another of the owner's jobs, else to the front or the back of them."""

    before: str | None = Field(None, max_length=128, pattern=CLEAN)
    after: str | None = Field(None, max_length=128, pattern=CLEAN)
    front: bool = Field(True, examples=[True])


class MarksWanted(BaseModel):
    """What the owner notes of a job; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = Field(
        None, max_length=LONGEST_NAME, pattern=CLEAN, description="Empty takes the name away.", examples=["Cats"]
    )
    bookmarked: bool | None = Field(
        None, description="It stays in the list, however long ago it ended.", examples=[True]
    )


class Cleared(BaseModel):
    """How many jobs it concerned."""

    jobs: int


class OwnerWanted(BaseModel):
    """Whose jobs."""

    owner: str | None = Field(None, max_length=64, pattern=CLEAN, description="For admins: a name, or * for everybody.")


class ShareRow(BaseModel):
    """What an owner has had of the lanes."""

    owner: str
    weight: float = Field(description="Twice the weight, twice the time, while both have jobs.")
    used_seconds: float


class WeightWanted(BaseModel):
    """How much of the lanes is due to an owner."""

    weight: float = Field(gt=0, le=1000, allow_inf_nan=False)


class WaitingBytes(BaseModel):
    """Bytes of requests that wait, pictures included, and how many may; null is no bound."""

    mine: int
    mine_at_most: int | None
    all: int
    all_at_most: int | None


class QueueRow(BaseModel):
    """The queue, as far as it concerns the caller."""

    paused: bool = Field(description="No more jobs are started.")
    lanes: int = Field(description="Jobs that can run at a time.")
    mine: int = Field(description="The caller's jobs that wait or run.")
    all: int = Field(description="Everybody's jobs that wait or run.")
    running: list[str] = Field(description="The caller's jobs that run.")
    waiting_bytes: WaitingBytes
    shares: list[ShareRow] = Field(description="For admins everybody's, for others their own.")


class OrderWanted(Paging):
    """Which part of the queue to list."""

    owner: str | None = Field(None, max_length=64, pattern=CLEAN, description="For admins: a name, or * for everybody.")


class OrderList(Page):
    """A page of jobs that run or wait, in the order in which they are to start."""

    jobs: list[JobView]


@router.post("/jobs/{job_id}/cancel", responses=REFUSED)
def cancel_job(studio: Services, person: Person, job_id: str) -> JobView:
    """Ask a job to stop. One that waits has ended when this answers, one that runs ends at its next step.

    Nothing happens to a job that has ended.
    """
    job_of(studio, person, job_id)
    studio.queue.cancel(job_id)
    return view(studio, job_id)


@router.post("/jobs/{job_id}/skip", responses=REFUSED)
def skip_batch(studio: Services, person: Person, job_id: str) -> JobView:
    """Leave the batch that is drawn now and go on with the next one."""
    job_of(studio, person, job_id)
    studio.queue.skip(job_id)
    return view(studio, job_id)


@router.post("/jobs/{job_id}/requeue", status_code=201, responses=REFUSED)
def requeue_job(studio: Services, person: Person, job_id: str, request: Request, answer: Response) -> JobView:
    """Ask for the same again: a new job with the same seeds. 422 for one that has not ended."""
    job_of(studio, person, job_id)
    handle = studio.queue.requeue(job_id)
    answer.headers["Location"] = address_of(request, handle.id)
    return view(studio, handle.id)


@router.post("/jobs/{job_id}/move", responses=REFUSED)
def move_job(studio: Services, person: Person, job_id: str, wanted: MoveWanted) -> JobView:
    """Move a waiting job among the others of its owner. The order between owners stays what fairness makes it."""
    record = job_of(studio, person, job_id)
    for other in (wanted.before, wanted.after):
        if other is not None:
            job_of(studio, person, other)
    move(studio, record, before=wanted.before, after=wanted.after, front=wanted.front)
    return view(studio, job_id)


@router.post("/jobs/{job_id}/pause", responses=REFUSED)
def pause_job(studio: Services, person: Person, job_id: str) -> JobView:
    """Hold a job back. One that runs stops and begins anew when it is resumed."""
    job_of(studio, person, job_id)
    studio.queue.pause(job_id)
    return view(studio, job_id)


@router.post("/jobs/{job_id}/resume", responses=REFUSED)
def resume_job(studio: Services, person: Person, job_id: str) -> JobView:
    """Let a job wait for its turn again."""
    job_of(studio, person, job_id)
    studio.queue.resume(job_id)
    return view(studio, job_id)


@router.patch("/jobs/{job_id}", responses=REFUSED)
def mark_job(studio: Services, person: Member, job_id: str, wanted: MarksWanted) -> JobView:
    """Name a job, or bookmark it so that it stays in the list for good. Not for guests."""
    job_of(studio, person, job_id)
    studio.queue.mark(job_id, name=wanted.name, bookmarked=wanted.bookmarked)
    return view(studio, job_id)


@router.delete("/jobs", responses=REFUSED)
def forget_jobs(studio: Services, person: Member, wanted: Annotated[OwnerWanted, Query()]) -> Cleared:
    """Take the caller's ended jobs out of the list, but for those that are bookmarked. Pictures stay in the gallery.

    Not for guests.
    """
    return Cleared(jobs=studio.queue.forget(owner_wanted(person, wanted.owner)))


@router.post("/queue/cancel", responses=REFUSED)
def cancel_waiting(studio: Services, person: Person, wanted: Annotated[OwnerWanted, Query()]) -> Cleared:
    """Cancel the caller's jobs that wait. Those that run go on."""
    return Cleared(jobs=stop_waiting(studio, owner_wanted(person, wanted.owner)))


def stop_waiting(studio: Studio, owner: str | None) -> int:
    """Cancel jobs that wait, of one owner when given; how many."""
    count = 0
    while waiting := studio.queue.list(owner=owner, state="queued", limit=MOST_WAITING):
        stopped = sum(studio.queue.cancel(record.id) for record in waiting)
        if not stopped:
            break
        count += stopped
    return count


@router.get("/queue", responses=REFUSED)
def get_queue(studio: Services, person: Person) -> QueueRow:
    """How much there is to do. What others draw is not shown."""
    queue = studio.queue
    shares = [
        ShareRow(owner=share.owner, weight=share.weight, used_seconds=share.used_seconds)
        for share in queue.shares()
        if person.may_touch(share.owner)
    ]
    return QueueRow(
        paused=queue.paused,
        lanes=studio.options.run.lanes,
        mine=queue.pending(person.name),
        all=queue.pending(),
        running=[job.job_id for job in queue.running(person.name)],
        waiting_bytes=_waiting_bytes(studio, person.name),
        shares=shares,
    )


def _waiting_bytes(studio: Studio, owner: str) -> WaitingBytes:
    most = {key: int(studio.settings[key]) * 2**20 or None for key in ("queue_input_mb", "queue_input_mb_per_owner")}
    return WaitingBytes(
        mine=studio.queue.waiting_bytes(owner),
        mine_at_most=most["queue_input_mb_per_owner"],
        all=studio.queue.waiting_bytes(),
        all_at_most=most["queue_input_mb"],
    )


@router.get("/queue/jobs", responses=REFUSED)
def get_order(studio: Services, person: Person, wanted: Annotated[OrderWanted, Query()]) -> OrderList:
    """Jobs that run or wait, in the order in which they are to start; `position` counts those of others too.

    Of the jobs that wait at most 1000 are looked at; `total` counts all.
    """
    owner = owner_wanted(person, wanted.owner)
    running = [job.job_id for job in studio.queue.running(owner)]
    waiting = studio.queue.list(owner=owner, state="queued", limit=MOST_WAITING, oldest_first=True)
    places = {record.id: _place(studio, record) for record in waiting}
    line = sorted((record.id for record in waiting), key=lambda job_id: places[job_id])
    names, following = cut(list(dict.fromkeys([*running, *line])), wanted)
    found = (studio.queue.get(name) for name in names)
    jobs = [view(studio, record.id) for record in found if record is not None]
    return OrderList(jobs=jobs, following=following, total=max(studio.queue.pending(owner), len(jobs)))


@router.post("/queue/pause", responses=REFUSED)
def pause_queue(studio: Services, admin: Admin) -> QueueRow:
    """Start no more jobs, also after a restart; those that run go on. For admins."""
    studio.queue.pause()
    return get_queue(studio, admin)


@router.post("/queue/resume", responses=REFUSED)
def resume_queue(studio: Services, admin: Admin) -> QueueRow:
    """Start jobs again. For admins."""
    studio.queue.resume()
    return get_queue(studio, admin)


@router.put("/queue/shares/{owner}", responses=REFUSED)
def set_share(studio: Services, admin: Admin, owner: OwnerName, wanted: WeightWanted) -> QueueRow:
    """How much of the lanes is due to an owner from now on, whatever the tier says. For admins."""
    studio.queue.set_weight(owner, studio.accounts.set_weight(owner, wanted.weight).weight)
    return get_queue(studio, admin)


@router.delete("/queue/shares/{owner}", responses=REFUSED)
def drop_share(studio: Services, admin: Admin, owner: OwnerName) -> QueueRow:
    """Give an owner what the tier says again; 1 for an owner without account. For admins."""
    studio.queue.set_weight(owner, studio.accounts.set_weight(owner, None).weight)
    return get_queue(studio, admin)


def _place(studio: Studio, record: JobRecord) -> tuple[bool, int]:
    """For sorting: those that are held back come last."""
    now = studio.queue.progress(record.id)
    return record.details.paused, 0 if now is None else now.position


def move(
    studio: Studio, record: JobRecord, *, before: str | None = None, after: str | None = None, front: bool = True
) -> None:
    """Move a job that waits. Raises `InvalidRequest` for one that does not."""
    if before is not None and after is not None:
        raise InvalidRequest("Both before and after were given; one of them says where the job goes.")
    if record.id in (before, after):
        raise InvalidRequest("A job cannot be moved before or after itself.")
    if not studio.queue.move(record.id, before=before, after=after, front=front):
        raise InvalidRequest(f"Job {record.id!r} is {record.state}; {WAITS}.")
