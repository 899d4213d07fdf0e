"""How the studio is doing, for admins: as JSON for programs, and as a page that renews itself."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from modules.api.job_control import ShareRow
from modules.api.services import Admin, Figures, Services
from modules.api.status_page import policy, render
from modules.contracts.jobs import JobRecord
from modules.monitoring.jobs import Place
from modules.monitoring.meters import Meters
from modules.monitoring.state import job_counts, memory_figures
from modules.support.studio import Studio

router = APIRouter(tags=["health"])
ERRORS = 10
WAITING = 20
"""Rows of a list at most."""


class LaneRow(BaseModel):
    """One lane, and the job on it if there is one."""

    lane: int
    job_id: str | None = None
    owner: str | None = None
    model: str | None = None
    stage: str = ""
    progress: float = Field(default=0.0, description="0 to 1.")
    seconds: float = Field(default=0.0, description="How long the job has been on the lane.")


class WaitingRow(BaseModel):
    """A job that waits."""

    job_id: str
    owner: str
    model: str
    created: datetime
    paused: bool
    priority: int


class ErrorRow(BaseModel):
    """A job that failed."""

    ended: datetime | None
    job_id: str
    owner: str
    kind: str
    message: str


class SpeedRow(BaseModel):
    """Of the last minute; the batch size since the start."""

    jobs_per_minute: float
    seconds_per_step: float | None
    samples_per_forward: float | None = Field(description="Of the denoiser, merged over lanes.")


class StatusReport(BaseModel):
    """Everything that is shown."""

    ready: bool
    message: str
    up_seconds: float
    versions: dict[str, str]
    device: str
    jobs: dict[str, int] = Field(description="Jobs in the table by state.")
    waiting_bytes: int = Field(description="Of all requests that wait, pictures included.", examples=[1_048_576])
    paused: bool
    lanes: list[LaneRow]
    waiting: list[WaitingRow] = Field(description=f"The {WAITING} that came first.")
    speeds: SpeedRow
    memory: dict[str, int] = Field(description="Bytes.")
    models: list[str] = Field(description="In memory, the one used last at the end.")
    caches: dict[str, dict[str, int]]
    errors: list[ErrorRow] = Field(description=f"The {ERRORS} jobs that failed last.")
    refused: dict[str, int] = Field(description="HTTP requests since the start, by reason.")
    shares: list[ShareRow]


@router.get("/api/v1/status")
def status(studio: Services, admin: Admin, figures: Figures) -> StatusReport:
    """Queue, lanes, speeds, memory, errors of late, what each owner has had, versions. For admins."""
    return report(studio, figures)


@router.get("/status", include_in_schema=False)
def status_page(studio: Services, admin: Admin, figures: Figures) -> HTMLResponse:
    """The same to look at."""
    page = render(report(studio, figures).model_dump())
    return HTMLResponse(page, headers={"Content-Security-Policy": policy(), "Cache-Control": "no-store"})


def report(studio: Studio, figures: Meters) -> StatusReport:
    """What there is to say now. Asks the database, so it blocks."""
    engine, status = studio.engine_report(), studio.status
    pace, step = figures.jobs.speeds()
    failed = studio.queue.list(state="failed", limit=ERRORS)
    waiting = studio.queue.list(state="queued", limit=WAITING, oldest_first=True)
    return StatusReport(
        ready=status.ready and status.trouble is None,
        message=(status.trouble if status.ready else None) or status.message,
        up_seconds=time.time() - figures.began,
        versions=dict(studio.versions),
        device=str(studio.device_report().get("name") or studio.device_report().get("state", "")),
        jobs=job_counts(studio),
        waiting_bytes=studio.queue.waiting_bytes(),
        paused=studio.queue.paused,
        lanes=_lanes(studio, figures.jobs.running()),
        waiting=[_waiting(record) for record in waiting],
        speeds=SpeedRow(
            jobs_per_minute=pace, seconds_per_step=step, samples_per_forward=_samples(engine.get("targets", {}))
        ),
        memory=memory_figures(studio.memory_report()),
        models=[path.replace("\\", "/").rpartition("/")[2] for path in engine.get("models", ())],
        caches={name: dict(tally) for name, tally in engine.get("caches", {}).items()},
        errors=[_error(record) for record in failed],
        refused=figures.requests.reasons(),
        shares=[
            ShareRow(owner=row.owner, weight=row.weight, used_seconds=row.used_seconds) for row in studio.queue.shares()
        ],
    )


def _lanes(studio: Studio, places: dict[str, tuple[Place, float]]) -> list[LaneRow]:
    rows = {lane: LaneRow(lane=lane) for lane in range(studio.options.run.lanes)}
    for job_id, (place, seconds) in places.items():
        record = studio.queue.get(job_id)
        if record is not None:
            rows[place.lane] = LaneRow(
                lane=place.lane,
                job_id=job_id,
                owner=record.owner,
                model=record.details.model,
                stage=place.stage,
                progress=place.progress,
                seconds=seconds,
            )
    return [rows[lane] for lane in sorted(rows)]


def _waiting(record: JobRecord) -> WaitingRow:
    details = record.details
    return WaitingRow(
        job_id=record.id,
        owner=record.owner,
        model=details.model,
        created=record.created,
        paused=details.paused,
        priority=record.terms.priority,
    )


def _error(record: JobRecord) -> ErrorRow:
    return ErrorRow(
        ended=record.ended,
        job_id=record.id,
        owner=record.owner,
        kind=record.error_kind or "",
        message=record.error or "",
    )


def _samples(targets: dict[str, Any]) -> float | None:
    row = targets.get("unet") or targets.get("transformer") or targets.get("prior")
    return None if row is None else row["mean_samples"]
