"""Jobs in the words of the agent scheduler."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from modules.contracts.accounts import Caller
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import JobFilter, JobRecord
from modules.contracts.request import GenerationRequest, parameters
from modules.contracts.validation import MAX_PICTURES
from modules.support.studio import Studio

STATUS = {"queued": "pending", "cancelled": "interrupted"}
PAGE = 1000


class TaskModel(BaseModel):
    """A task. Moments are milliseconds since 1970."""

    id: str
    api_task_id: str | None = None
    api_task_callback: str | None = None
    name: str | None = None
    type: str
    status: str
    params: dict[str, Any]
    priority: int
    position: int | None = None
    result: str | None = None
    bookmarked: bool = False
    created_at: int
    updated_at: int


class QueueState(BaseModel):
    """Tasks that run or wait."""

    current_task_id: str | None
    pending_tasks: list[TaskModel]
    total_pending_tasks: int
    paused: bool


class History(BaseModel):
    """Tasks that have ended."""

    tasks: list[TaskModel]
    total: int


class TaskAnswer(BaseModel):
    """One task."""

    success: bool = True
    data: TaskModel


class TaskPlace(BaseModel):
    """Where a task stands."""

    success: bool = True
    data: dict[str, Any]


class Done(BaseModel):
    """What was done."""

    success: bool = True
    message: str
    task_id: str | None = None


def whose(person: Caller) -> str | None:
    """Whose tasks the lists show: the caller's; None is everybody's, for admins."""
    return None if person.is_admin else person.name


def task_of(studio: Studio, record: JobRecord) -> TaskModel:
    """A job as a task: its parameters under A1111's names, without pictures."""
    asked = _asked(studio, record.id)
    now = studio.queue.progress(record.id) if record.state == "queued" else None
    latest = record.ended or record.started or record.created
    return TaskModel(
        id=record.id,
        type="txt2img" if asked is None or asked.mode == "txt2img" else "img2img",
        status=STATUS.get(record.state, record.state),
        name=record.details.name or None,
        bookmarked=record.details.bookmarked,
        params={} if asked is None else parameters_of(asked),
        priority=record.terms.priority,
        position=None if now is None else now.position,
        result=_result(studio, record),
        created_at=int(record.created.timestamp() * 1000),
        updated_at=int(latest.timestamp() * 1000),
    )


def parameters_of(asked: GenerationRequest) -> dict[str, Any]:
    """Every declared parameter under its name in the old API, and the checkpoint."""
    told: dict[str, Any] = {}
    for item in parameters():
        group = getattr(asked, item.path[0])
        if group is not None and item.param.legacy is not None:
            told.setdefault(item.param.legacy, getattr(group, item.path[1]))
    return {**told, "checkpoint": asked.model.checkpoint}


def deep_page(studio: Studio, which: JobFilter, offset: int, limit: int) -> tuple[list[JobRecord], int]:
    """Jobs from the `offset`-th on, and how many there are in all."""
    found: list[JobRecord] = []
    after = None
    while True:
        page = studio.queue.page(which, limit=min(PAGE, offset + limit), after=after)
        found += page.jobs
        after = page.following
        if after is None or len(found) >= offset + limit:
            return found[offset : offset + limit], page.total


def _asked(studio: Studio, job_id: str) -> GenerationRequest | None:
    """The request; None for one that an older version wrote and this one cannot read."""
    try:
        return studio.queue.request(job_id)
    except InvalidRequest:
        return None


def _result(studio: Studio, record: JobRecord) -> str | None:
    if record.state != "done":
        return None
    rows = sorted(studio.pictures.list(job_id=record.id, limit=MAX_PICTURES), key=lambda row: row.index)
    return json.dumps({"images": [row.id for row in rows], "infotexts": [row.infotext for row in rows]})
