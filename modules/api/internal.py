"""`/internal/progress` and `/internal/pending-tasks`: what A1111's own page asks, by the id of a task."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from modules.api.access import job_of
from modules.api.images import to_base64
from modules.api.jobs import CLEAN, REFUSED, type_of
from modules.api.services import Owner, Person, Services
from modules.contracts.errors import UnknownName

router = APIRouter(prefix="/internal", tags=["progress"])
MOST = 1000


class ProgressRequest(BaseModel):
    """Which task, and whether its picture is wanted."""

    id_task: str = Field(max_length=128, pattern=CLEAN, description="`force_task_id`, or the id of a job.")
    id_live_preview: int = Field(-1, description="The preview that the client has.")
    live_preview: bool = Field(True, description="Send the preview.")


class InternalProgressResponse(BaseModel):
    """Where the task stands."""

    active: bool = False
    queued: bool = False
    completed: bool = False
    progress: float | None = None
    eta: float | None = None
    live_preview: str | None = Field(default=None, description="A data URI.")
    id_live_preview: int | None = Field(default=-1, description="To be sent along with the next question; -1 is none.")
    textinfo: str | None = None


class PendingTasksResponse(BaseModel):
    """The caller's jobs that wait."""

    size: int
    tasks: list[str]


@router.post("/progress", responses={403: REFUSED[403]})
def internal_progress(studio: Services, person: Person, wanted: ProgressRequest) -> InternalProgressResponse:
    """Where one task stands; one that is not known is neither active, queued nor completed."""
    try:
        record = job_of(studio, person, wanted.id_task)
    except UnknownName:
        return InternalProgressResponse(textinfo="Not known")
    now = studio.queue.progress(record.id)
    if now is None or record.ended is not None:
        return InternalProgressResponse(completed=True)
    if now.state == "queued":
        text = "Paused" if record.details.paused else f"In queue: {now.position} before it"
        return InternalProgressResponse(queued=True, eta=now.eta_seconds, textinfo=text)
    told = InternalProgressResponse(active=True, progress=now.progress, eta=now.eta_seconds, textinfo=now.stage or None)
    number = now.batch * now.steps + now.step
    told.id_live_preview = wanted.id_live_preview
    if wanted.live_preview and now.preview and number != wanted.id_live_preview:
        told.live_preview = f"data:{type_of(now.preview)};base64,{to_base64(now.preview)}"
        told.id_live_preview = number
    return told


@router.get("/pending-tasks")
def pending_tasks(studio: Services, owner: Owner) -> PendingTasksResponse:
    """The caller's jobs that wait, oldest first."""
    waiting = studio.queue.list(owner=owner, state="queued", limit=MOST, oldest_first=True)
    return PendingTasksResponse(size=len(waiting), tasks=[record.id for record in waiting])
