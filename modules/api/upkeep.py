"""What whoever looks after the studio asks of it: the last lines of its log, and what the doctor finds. For admins."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from modules.api.jobs import CLEAN, REFUSED
from modules.api.paging import LARGEST
from modules.api.services import Admin, Services
from modules.support.recent import MOST, LogLine

router = APIRouter(prefix="/api/v1", tags=["health"])
Level = Literal["debug", "info", "warning", "error"]


class LogWanted(BaseModel):
    """Which lines."""

    since: int = Field(0, ge=0, le=LARGEST, description="`last` of the answer before: only what came behind it.")
    level: Level = Field("debug", description="The least grave that is wanted.")
    text: str = Field("", max_length=200, pattern=CLEAN, description="Stands in the line, case aside.")
    limit: int = Field(MOST, ge=1, le=MOST, description="Of more, the newest.")


class TailRow(BaseModel):
    """A line of the log."""

    number: int = Field(description="Counts up; none is used again.", examples=[412])
    time: datetime = Field(examples=["2026-11-21T09:00:01Z"])
    level: str = Field(description="debug, info, warning, error or critical.", examples=["info"])
    logger: str = Field(description="The part that wrote it.", examples=["modules.engine_room"])
    message: str = Field(examples=["ready to draw"])
    error: str | None = Field(description="A stack trace.", examples=[None])
    job_id: str | None = Field(description="The job that it is about.", examples=["9f3c2a7be41d4c55"])
    request_id: str | None = Field(description="The request that it is about.", examples=[None])


class LogTail(BaseModel):
    """The end of the log, oldest line first."""

    lines: list[TailRow]
    last: int = Field(description="Number of the newest line of all, for `since`.", examples=[412])


class CheckRow(BaseModel):
    """One thing that was looked at."""

    what: str = Field(examples=["Memory"])
    says: str = Field(examples=["21.3 GiB free of 31.2"])


class FindingRow(BaseModel):
    """Something that is missing or short."""

    what: str = Field(examples=["Only 1.0 GiB of memory are free."])
    how: str = Field(description="What helps.", examples=["close other programs, or use --medvram"])


class DoctorReport(BaseModel):
    """What `launch.py doctor` says of this machine, without folders."""

    checks: list[CheckRow]
    findings: list[FindingRow] = Field(description="Empty when nothing is missing.")


@router.get("/log", responses=REFUSED)
def get_log_tail(studio: Services, admin: Admin, wanted: Annotated[LogWanted, Query()]) -> LogTail:
    """The last 500 lines of the log, secrets and folders taken out. For admins."""
    recent = studio.recent
    last = recent.last
    grave = logging.getLevelNamesMapping()[wanted.level.upper()]
    found = recent.lines(since=wanted.since, level=grave, text=wanted.text)
    return LogTail(lines=[_row(line) for line in found[-wanted.limit :]], last=last)


@router.get("/doctor", responses=REFUSED)
def examine(studio: Services, admin: Admin) -> DoctorReport:
    """Have this machine examined: hardware, versions, memory, disk, and what is missing. For admins.

    It looks through the folder of models, so it takes a moment where there are many.
    """
    return DoctorReport.model_validate(studio.doctor())


def _row(line: LogLine) -> TailRow:
    return TailRow(
        number=line.number,
        time=line.time,
        level=logging.getLevelName(line.level).lower(),
        logger=line.logger,
        message=line.message,
        error=line.error,
        job_id=line.job_id,
        request_id=line.request_id,
    )
