"""`/agent-scheduler/v1`, second part: names, bookmarks, lists that are cleared, and tasks as files.

A file holds for each task what the extension's own files hold, and with it the body of `/api/v1/jobs`, by which a task
is taken in whole. Files of the extension are read as far as they are plain values: what it keeps of other scripts is
pickled, and nothing here unpickles.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from modules.api.access import job_of
from modules.api.carrying import MOST_CARRIED, CarriedJob, take_in, waiting_of, wanted_of
from modules.api.fields import complaint_of
from modules.api.job_control import stop_waiting
from modules.api.jobs import CLEAN, REFUSED
from modules.api.scheduler import Img2ImgApiTaskArgs, Offset, Txt2ImgApiTaskArgs, read_task
from modules.api.services import Member, Owner, Person, Services
from modules.api.tasks import Done, TaskModel, parameters_of, task_of, whose
from modules.contracts.errors import InvalidRequest, StudioError, UnsupportedFeature
from modules.contracts.jobs import LONGEST_NAME, JobFilter
from modules.support.studio import Studio

router = APIRouter(prefix="/agent-scheduler/v1", tags=["agent-scheduler"])
NAMES = 20
"""Tasks whose refusals an answer tells one by one."""
TaskName = Annotated[str, Query(max_length=LONGEST_NAME, pattern=CLEAN, examples=["Cats"])]


class UpdateTaskArgs(BaseModel):
    """What is to be changed of a task."""

    name: str | None = Field(None, max_length=LONGEST_NAME, pattern=CLEAN, examples=["Cats"])
    checkpoint: str | None = Field(None, description="Refused: what is asked for does not change any more.")
    params: dict[str, Any] | None = Field(None, description="Refused likewise.")


class StringRequestBody(BaseModel):
    """A file of tasks as text."""

    content: str = Field(description="What `export` gave, as JSON text.", examples=["[]"])


class TaskFile(TaskModel):
    """A task in a file."""

    model_config = ConfigDict(protected_namespaces=())
    params: Any = Field(description="JSON text as the extension writes it, for whoever reads the file.")
    request: dict[str, Any] = Field(description="The body of `/api/v1/jobs` that asks for the same.")


@router.post("/bookmark/{id}", responses=REFUSED, deprecated=True)
@router.post("/task/{id}/bookmark", responses=REFUSED)
def bookmark_task(studio: Services, person: Member, id: str) -> Done:
    """Keep a task in the history for good. Not for guests, as all that lasts."""
    studio.queue.mark(job_of(studio, person, id).id, bookmarked=True)
    return Done(message="Task bookmarked")


@router.post("/unbookmark/{id}", responses=REFUSED, deprecated=True)
@router.post("/task/{id}/unbookmark", responses=REFUSED)
def unbookmark_task(studio: Services, person: Member, id: str) -> Done:
    """Let a task go with its time again."""
    studio.queue.mark(job_of(studio, person, id).id, bookmarked=False)
    return Done(message="Task unbookmarked")


@router.post("/rename/{id}", responses=REFUSED, deprecated=True)
@router.post("/task/{id}/rename", responses=REFUSED)
def rename_task(studio: Services, person: Member, id: str, name: TaskName = "") -> Done:
    """Give a task a name; an empty one takes it away."""
    studio.queue.mark(job_of(studio, person, id).id, name=name)
    return Done(message="Task renamed")


@router.put("/task/{id}", responses=REFUSED)
def update_task(studio: Services, person: Member, id: str, body: UpdateTaskArgs) -> Done:
    """Change a task's name. What it asks for stays; another one is queued instead."""
    record = job_of(studio, person, id)
    if body.checkpoint is not None or body.params is not None:
        raise UnsupportedFeature("What a task asks for does not change once it is stored; stop it and queue another.")
    if body.name is not None:
        studio.queue.mark(record.id, name=body.name)
    return Done(message="Task updated")


@router.post("/task/requeue-failed", responses=REFUSED)
def requeue_failed(studio: Services, person: Person) -> Done:
    """Ask once more for what has failed of the caller's and was not asked for again; for admins of everybody's."""
    latest = studio.queue.page(JobFilter(owner=whose(person)), limit=MOST_CARRIED).jobs
    repeated = {record.details.origin for record in latest}
    failed = [record for record in latest if record.state == "failed" and record.id not in repeated]
    refused = []
    for record in reversed(failed):
        try:
            studio.queue.requeue(record.id)
        except StudioError as error:
            refused.append(f"{record.id}: {error}")
    if not failed:
        return Done(success=False, message="No failed tasks")
    return _told(f"Requeued {len(failed) - len(refused)} failed tasks", refused)


@router.post("/queue/clear", responses=REFUSED)
def clear_queue(studio: Services, person: Person) -> Done:
    """Stop all tasks of the caller that wait; for admins everybody's."""
    return Done(message=f"Queue cleared of {stop_waiting(studio, whose(person))} tasks")


@router.post("/history/clear", responses=REFUSED)
def clear_history(studio: Services, person: Member) -> Done:
    """Take the caller's ended tasks out of the history, bookmarked ones aside; for admins everybody's."""
    return Done(message=f"History cleared of {studio.queue.forget(whose(person))} tasks")


@router.get("/export", responses=REFUSED)
def export_tasks(
    studio: Services, person: Person, limit: Annotated[int, Query(ge=1, le=MOST_CARRIED)] = 1000, offset: Offset = 0
) -> list[TaskFile]:
    """Tasks that wait, oldest first, as a file for `import`: the caller's, for admins everybody's."""
    files = []
    for record, asked in waiting_of(studio, whose(person), limit, offset):
        task = task_of(studio, record).model_dump()
        told = {"args": parameters_of(asked), "checkpoint": asked.model.checkpoint, "is_ui": False}
        told["is_img2img"] = asked.image is not None
        files.append(TaskFile(**{**task, "params": json.dumps(told, default=str), "request": wanted_of(asked)}))
    return files


@router.post("/import", responses=REFUSED)
async def import_tasks(body: StringRequestBody, request: Request, studio: Services, owner: Owner) -> Done:
    """Take the tasks of a file in as new ones of the caller. Those that are refused hinder no others."""
    try:
        tasks = json.loads(body.content)
    except ValueError as error:
        raise InvalidRequest(f"The file is no JSON: {error}.") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InvalidRequest("The file is no list of tasks.")
    if len(tasks) > MOST_CARRIED:
        raise InvalidRequest(f"The file has {len(tasks)} tasks; at most {MOST_CARRIED} are taken in at once.")
    refused = []
    for number, task in enumerate(tasks):
        try:
            await _take_in(task, request, studio, owner)
        except StudioError as error:
            refused.append(f"task {number}: {error}")
    return _told(f"Imported {len(tasks) - len(refused)} tasks", refused)


async def _take_in(task: dict[str, Any], request: Request, studio: Studio, owner: str) -> None:
    noted = {"name": task.get("name") or "", "bookmarked": bool(task.get("bookmarked"))}
    job = _checked(CarriedJob, {"request": task.get("request", {}), **noted})
    if "request" in task:
        await run_in_threadpool(take_in, studio, owner, job)
        return
    told = _plain(task.get("params"))
    args = told.get("args")
    if not isinstance(args, dict):
        raise InvalidRequest("it has neither a request nor plain arguments")
    args = {**args, "checkpoint": told.get("checkpoint"), "force_task_id": None}
    picture = bool(told.get("is_img2img")) or task.get("type") == "img2img"
    body = _checked(Img2ImgApiTaskArgs if picture else Txt2ImgApiTaskArgs, args)
    wish = await read_task("img2img" if picture else "txt2img", body, request, studio, owner)
    kept = replace(wish.request, output=replace(wish.request.output, save=True))
    job_id = (await run_in_threadpool(studio.queue.submit, kept, owner)).id
    if job.name or job.bookmarked:
        await run_in_threadpool(lambda: studio.queue.mark(job_id, name=job.name, bookmarked=job.bookmarked))


def _plain(text: Any) -> dict[str, Any]:
    """Parameters of a task as the extension stores them: JSON text, or already read."""
    try:
        told = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        raise InvalidRequest("its params are no JSON") from None
    return told if isinstance(told, dict) else {}


def _checked(kind: type[Any], values: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(complaint_of(error)) from None


def _told(message: str, refused: list[str]) -> Done:
    if not refused:
        return Done(message=message)
    more = f" and {len(refused) - NAMES} more" if len(refused) > NAMES else ""
    return Done(success=False, message=f"{message}; refused: {'; '.join(refused[:NAMES])}{more}")
