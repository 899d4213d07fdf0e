"""`/agent-scheduler/v1`: the queue under the addresses of the extension that most clients of A1111 use for one.

Ids of tasks are ids of jobs. What is different on purpose: no address is called back, no file is named, a task that is
not here is a 404, one of somebody else a 403, and only admins hold the whole queue.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from modules.api.access import job_of
from modules.api.bodies import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img
from modules.api.generation import read_call
from modules.api.images import to_base64
from modules.api.job_control import move
from modules.api.jobs import REFUSED
from modules.api.pictures import packed
from modules.api.promise import key_of, promise
from modules.api.reading import Wish
from modules.api.remarks import header_of
from modules.api.services import Admin, Owner, Person, Services
from modules.api.tasks import Done, History, QueueState, TaskAnswer, TaskPlace, deep_page, task_of, whose
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.jobs import JobFilter, JobState
from modules.contracts.pictures import StoredPicture
from modules.contracts.validation import MAX_PICTURES
from modules.support.studio import Studio

router = APIRouter(prefix="/agent-scheduler/v1", tags=["agent-scheduler"])
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled")
STATES: dict[str, tuple[JobState, ...]] = {"done": ("done",), "failed": ("failed",), "interrupted": ("cancelled",)}
BOOKMARKED = "bookmarked"
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=100_000)]


class Txt2ImgApiTaskArgs(StableDiffusionProcessingTxt2Img):
    """A task to draw from words."""

    checkpoint: str | None = Field(None, description="Model of this task.")
    vae: str | None = Field(None, description="VAE of this task.")
    callback_url: str | None = Field(None, description="Refused: the studio calls no address that a client names.")


class Img2ImgApiTaskArgs(StableDiffusionProcessingImg2Img):
    """A task to draw from words and a picture."""

    checkpoint: str | None = Field(None, description="Model of this task.")
    vae: str | None = Field(None, description="VAE of this task.")
    callback_url: str | None = Field(None, description="Refused: the studio calls no address that a client names.")


class QueueTaskResponse(BaseModel):
    """The task that was stored."""

    task_id: str


@router.post("/queue/txt2img", responses=REFUSED)
async def queue_txt2img(
    body: Txt2ImgApiTaskArgs, request: Request, studio: Services, owner: Owner, answer: Response
) -> QueueTaskResponse:
    """Store a task to draw from words."""
    return await _queue("txt2img", body, request, studio, owner, answer)


@router.post("/queue/img2img", responses=REFUSED)
async def queue_img2img(
    body: Img2ImgApiTaskArgs, request: Request, studio: Services, owner: Owner, answer: Response
) -> QueueTaskResponse:
    """Store a task to draw from words and a picture."""
    return await _queue("img2img", body, request, studio, owner, answer)


async def _queue(
    mode: str,
    body: Txt2ImgApiTaskArgs | Img2ImgApiTaskArgs,
    request: Request,
    studio: Studio,
    owner: str,
    answer: Response,
) -> QueueTaskResponse:
    wish = await read_task(mode, body, request, studio, owner)
    told = await promise(request, studio, wish.request, owner, body.force_task_id or None)
    answer.headers.update(header_of(wish.notes))
    return QueueTaskResponse(task_id=json.loads(bytes(told.body))["job_id"])


async def read_task(
    mode: str, body: Txt2ImgApiTaskArgs | Img2ImgApiTaskArgs, request: Request, studio: Studio, owner: str
) -> Wish:
    """What a task asks for. Raises `StudioError`."""
    if body.callback_url:
        raise UnsupportedFeature("callback_url was given; the studio calls no address, follow the task's events.")
    named = {"sd_model_checkpoint": body.checkpoint, "sd_vae": body.vae}
    named = {key: value for key, value in named.items() if value}
    return await read_call(mode, body, request, studio, owner, key_of(request), **named)


@router.get("/queue")
def queue_status(studio: Services, person: Person, limit: Limit = 20, offset: Offset = 0) -> QueueState:
    """Tasks that run or wait: the caller's, for admins everybody's."""
    owner, queue = whose(person), studio.queue
    running = [job.job_id for job in queue.running(owner)]
    waiting = queue.list(owner=owner, state="queued", limit=offset + limit, oldest_first=True)
    ahead = [record for record in (queue.get(name) for name in running) if record is not None]
    tasks = [*ahead, *waiting][offset : offset + limit]
    return QueueState(
        current_task_id=running[0] if running else None,
        pending_tasks=[task_of(studio, record) for record in tasks],
        total_pending_tasks=queue.pending(owner),
        paused=queue.paused,
    )


@router.get("/history")
def history(
    studio: Services,
    person: Person,
    status: Annotated[
        str | None, Query(max_length=20, description="done, failed, interrupted, bookmarked or all.")
    ] = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> History:
    """Tasks that have ended, newest first."""
    which = JobFilter(
        owner=whose(person), states=STATES.get(status or "", ENDED), bookmarked=status == BOOKMARKED or None
    )
    records, total = deep_page(studio, which, offset, limit)
    return History(tasks=[task_of(studio, record) for record in records], total=total)


@router.get("/task/{id}", responses=REFUSED)
def get_task(studio: Services, person: Person, id: str) -> TaskAnswer:
    """One task."""
    return TaskAnswer(data=task_of(studio, job_of(studio, person, id)))


@router.get("/task/{id}/position", responses=REFUSED)
def get_position(studio: Services, person: Person, id: str) -> TaskPlace:
    """Where a task stands in the queue."""
    task = task_of(studio, job_of(studio, person, id))
    return TaskPlace(data={"status": task.status, "position": task.position})


@router.post("/run/{id}", responses=REFUSED, deprecated=True)
@router.post("/task/{id}/run", responses=REFUSED)
def run_task(studio: Services, person: Person, id: str) -> Done:
    """Let a waiting task go before the others of its owner."""
    record = job_of(studio, person, id)
    if record.state == "running":
        return Done(success=False, message="Task is running")
    move(studio, record)
    return Done(message="Task is scheduled to run next")


@router.post("/requeue/{id}", responses=REFUSED, deprecated=True)
@router.post("/task/{id}/requeue", responses=REFUSED)
def requeue_task(studio: Services, person: Person, id: str) -> Done:
    """Ask for the same again, as a new task."""
    job_of(studio, person, id)
    return Done(message="Task requeued", task_id=studio.queue.requeue(id).id)


@router.post("/delete/{id}", responses=REFUSED, deprecated=True)
@router.delete("/task/{id}", responses=REFUSED)
def stop_task(studio: Services, person: Person, id: str) -> Done:
    """Stop a task that waits or runs. What has ended stays in the history."""
    record = job_of(studio, person, id)
    stopped = studio.queue.cancel(id)
    return Done(success=stopped, message="Task interrupted" if stopped else f"Task is {record.state} already")


@router.post("/move/{id}/{over_id}", responses=REFUSED, deprecated=True)
@router.post("/task/{id}/move/{over_id}", responses=REFUSED)
def move_task(studio: Services, person: Person, id: str, over_id: str) -> Done:
    """Move a waiting task before another one, or to `top` or `bottom`."""
    record = job_of(studio, person, id)
    if over_id in ("top", "bottom"):
        move(studio, record, front=over_id == "top")
        return Done(message=f"Task moved to {over_id}")
    move(studio, record, before=job_of(studio, person, over_id).id)
    return Done(message="Task moved")


@router.post("/pause", responses=REFUSED, deprecated=True)
@router.post("/queue/pause", responses=REFUSED)
def pause(studio: Services, admin: Admin) -> Done:
    """Start no more tasks. For admins."""
    studio.queue.pause()
    return Done(message="Queue paused")


@router.post("/resume", responses=REFUSED, deprecated=True)
@router.post("/queue/resume", responses=REFUSED)
def resume(studio: Services, admin: Admin) -> Done:
    """Start tasks again. For admins."""
    studio.queue.resume()
    return Done(message="Queue resumed")


@router.get("/results/{id}", response_class=JSONResponse, responses=REFUSED, deprecated=True)
@router.get("/task/{id}/results", response_class=JSONResponse, responses=REFUSED)
async def results(studio: Services, person: Person, id: str, zip: bool = False) -> Response:
    """The pictures of a finished task as data URIs, or as one ZIP."""
    record = await asyncio.to_thread(job_of, studio, person, id)
    if record.state != "done":
        return JSONResponse({"success": False, "message": f"Task is {record.state}"})
    rows = await asyncio.to_thread(studio.pictures.list, job_id=id, limit=MAX_PICTURES)
    rows = sorted(rows, key=lambda row: row.index)
    if zip:
        headers = {"Content-Disposition": 'attachment; filename="results.zip"'}
        return StreamingResponse(packed(studio, rows), media_type="application/zip", headers=headers)
    return JSONResponse({"success": True, "data": await asyncio.to_thread(_shown, studio, rows)})


@router.get("/samplers")
def samplers(studio: Services) -> list[str]:
    """Names of the samplers."""
    return [entry.name for entry in studio.catalog.samplers()]


@router.get("/sd-models")
def models(studio: Services) -> list[str]:
    """Titles of the models that can be used."""
    return [entry.title for entry in studio.catalog.models() if entry.problem is None]


def _shown(studio: Studio, rows: list[StoredPicture]) -> list[dict[str, Any]]:
    read = ((row, studio.pictures.read(row.id)) for row in rows)
    return [
        {"image": f"data:{row.media_type};base64,{to_base64(data)}", "infotext": row.infotext}
        for row, data in read
        if data is not None
    ]
