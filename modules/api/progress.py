"""`progress`, `interrupt` and `skip`, about the caller's own jobs; an admin who has none is told of everybody's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from modules.api.images import to_base64
from modules.api.services import Person, Services
from modules.contracts.accounts import Caller
from modules.contracts.jobs import JobProgress, JobQueue
from modules.support.studio import Studio

router = APIRouter(tags=["progress"])
LEAST = 0.01
"""What A1111 shows once a job has begun, so that clients can tell it from an idle server."""


def concern_of(studio: Studio, person: Caller) -> str | None:
    """Whose jobs a call without an id is about: the caller's own; of an admin who has none, everybody's (None)."""
    return None if person.is_admin and not studio.queue.pending(person.name) else person.name


class ProgressState(BaseModel):
    """A1111's description of the job that runs."""

    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = Field(default="", description="Id of the job; empty when none runs or waits.")
    job_count: int = Field(default=0, description="Batches of the job, or jobs that wait; 0 when idle.")
    job_timestamp: str = "0"
    job_no: int = Field(default=0, description="Batch that is drawn now, from 0.")
    sampling_step: int = 0
    sampling_steps: int = 0


class ProgressResponse(BaseModel):
    """Where the caller's oldest running job stands."""

    progress: float = Field(default=0.0, description="0 when idle, else 0.01 to 1.")
    eta_relative: float = Field(default=0.0, description="Seconds left, 0 when not known.")
    state: ProgressState = ProgressState()
    current_image: str | None = Field(default=None, description="The latest preview in bare base64.")
    textinfo: str | None = None


@router.get("/sdapi/v1/progress", response_model=ProgressResponse)
def progress(
    studio: Services,
    person: Person,
    skip_current_image: Annotated[bool, Query(description="Leave the preview out.")] = False,
) -> ProgressResponse:
    """The caller's oldest running job; all zeros when nothing of theirs runs or waits."""
    owner = concern_of(studio, person)
    running = studio.queue.running(owner)
    if running:
        return _busy(studio.queue, running[0], with_image=not skip_current_image)
    waiting = studio.queue.pending(owner)
    if not waiting:
        return ProgressResponse()
    oldest = studio.queue.list(owner=owner, state="queued", limit=1, oldest_first=True)
    if not oldest:
        return ProgressResponse()
    state = ProgressState(job=oldest[0].id, job_count=waiting)
    return ProgressResponse(state=state, textinfo=f"Waiting; {waiting} of your jobs in the queue")


def _busy(queue: JobQueue, job: JobProgress, *, with_image: bool) -> ProgressResponse:
    record = queue.get(job.job_id)
    began = record.started if record is not None else None
    state = ProgressState(
        job=job.job_id,
        job_count=max(job.batches, 1),
        job_timestamp=began.astimezone().strftime("%Y%m%d%H%M%S") if began else "0",
        job_no=job.batch,
        sampling_step=job.step,
        sampling_steps=job.steps,
    )
    return ProgressResponse(
        progress=min(max(job.progress, LEAST), 1.0),
        eta_relative=job.eta_seconds or 0.0,
        state=state,
        current_image=to_base64(job.preview) if with_image and job.preview else None,
        textinfo=job.stage or None,
    )


@router.post("/sdapi/v1/interrupt")
def interrupt(studio: Services, person: Person) -> dict[str, Any]:
    """Stop the caller's running jobs; each answers with the pictures it has finished."""
    for job in studio.queue.running(concern_of(studio, person)):
        studio.queue.cancel(job.job_id)
    return {}


@router.post("/sdapi/v1/skip")
def skip(studio: Services, person: Person) -> None:
    """Leave the batch that is drawn now, in each of the caller's running jobs, and go on with the next one."""
    for job in studio.queue.running(concern_of(studio, person)):
        studio.queue.skip(job.job_id)
