"""One job as a person sees it: events folded into a small frozen view, and the view put into words for the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

from modules.contracts import events
from modules.contracts.events import Event
from modules.contracts.jobs import JobProgress, JobRecord, JobState

STAGES = {
    "load": "Loading the model",
    "encode": "Reading the prompt",
    "denoise": "Drawing",
    "hires": "Refining at full size",
    "detail": "Drawing details",
    "decode": "Developing the picture",
    "faces": "Restoring faces",
    "save": "Saving",
    "enlarge": "Making it larger",
}
ENDED: frozenset[JobState] = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class JobView:
    """Where a job stands, with the latest preview."""

    job_id: str
    state: JobState = "queued"
    stage: str = ""
    step: int = 0
    steps: int = 0
    batch: int = 0
    batches: int = 1
    progress: float = 0.0
    """Share of the whole job, 0 to 1."""
    eta_seconds: float | None = None
    position: int = 0
    """Jobs before it while it is queued."""
    preview: bytes | None = field(default=None, repr=False)
    pictures: int = 0
    """Finished pictures."""

    @property
    def ended(self) -> bool:
        """The job is done, failed or cancelled."""
        return self.state in ENDED


def fold(view: JobView, event: Event) -> JobView:
    """The view after one more event of that job. Events after the end change nothing."""
    if view.ended:
        return view
    match event:
        case events.JobQueued(position=position):
            return replace(view, position=position)
        case events.JobStarted():
            return replace(view, state="running", position=0)
        case events.StageStarted(stage=stage, batch=batch, batches=batches):
            return replace(view, state="running", stage=stage, batch=batch, batches=batches, position=0)
        case events.StepDone():
            return _stepped(view, event)
        case events.Preview(data=data):
            return replace(view, preview=data)
        case events.ImageReady():
            return replace(view, pictures=view.pictures + 1)
        case events.JobDone():
            return replace(view, state="done", progress=1.0, eta_seconds=0.0)
        case events.JobFailed():
            return replace(view, state="failed", eta_seconds=None)
        case events.JobCancelled():
            return replace(view, state="cancelled", eta_seconds=None)
    return view


def _stepped(view: JobView, event: events.StepDone) -> JobView:
    return replace(
        view,
        state="running",
        stage=view.stage if view.stage in ("hires", "detail", "enlarge") else "denoise",
        step=event.step,
        steps=event.steps,
        batch=event.batch,
        batches=event.batches,
        progress=max(view.progress, min(event.progress, 1.0)),
        eta_seconds=event.eta_seconds,
        position=0,
    )


def view_of(job_id: str, record: JobRecord | None, progress: JobProgress | None) -> JobView:
    """The view of a job met half-way, from what the queue knows of it. An unknown job counts as cancelled."""
    if record is None:
        return JobView(job_id, state="cancelled")
    if progress is None or record.state in ENDED:
        return JobView(job_id, state=record.state, pictures=record.pictures)
    return JobView(
        job_id,
        state=progress.state,
        stage=progress.stage,
        step=progress.step,
        steps=progress.steps,
        batch=progress.batch,
        batches=progress.batches,
        progress=progress.progress,
        eta_seconds=progress.eta_seconds,
        position=progress.position,
        preview=progress.preview,
        pictures=record.pictures,
    )


def describe(view: JobView, *, loading: str | None = None) -> tuple[str, str]:
    """Headline and detail for a person. `loading` is what the studio says while it cannot draw yet."""
    if view.state == "queued":
        if loading is not None:
            return "Waiting for the studio", loading
        return "Waiting in the queue", _ahead(view.position)
    if view.state == "running":
        return _running(view), _rest(view)
    words = {"done": "Done", "failed": "This one did not work", "cancelled": "Stopped"}
    return words[view.state], ""


def _running(view: JobView) -> str:
    words = STAGES.get(view.stage, "Preparing")
    if view.stage in ("denoise", "hires", "detail") and view.steps:
        return f"{words}, step {view.step} of {view.steps}"
    if view.stage == "enlarge" and view.steps > 1:
        return f"{words}, part {view.step} of {view.steps}"
    return words


def _rest(view: JobView) -> str:
    parts = []
    if view.batches > 1:
        parts.append(f"batch {view.batch + 1} of {view.batches}")
    if view.eta_seconds is not None and view.eta_seconds >= 1:
        parts.append(f"about {clock(view.eta_seconds)} left")
    return ", ".join(parts)


def _ahead(position: int) -> str:
    if position == 1:
        return "1 job before it"
    return f"{position} jobs before it" if position > 0 else "It is next"


def clock(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `2 min 5 s`, `1 h 3 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def data_url(data: bytes) -> str:
    """An encoded picture as an address that a page can show without another request."""
    kinds = ((b"\xff\xd8", "jpeg"), (b"\x89PNG", "png"), (b"RIFF", "webp"))
    kind = next((name for magic, name in kinds if data.startswith(magic)), "png")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def payload(view: JobView, *, loading: str | None = None, waiting: int = 0) -> dict[str, Any]:
    """What the stage on the page is told. `waiting` counts this person's further jobs."""
    headline, detail = describe(view, loading=loading)
    return {
        "job": view.job_id,
        "phase": view.state,
        "headline": headline,
        "detail": detail,
        "progress": round(view.progress, 4),
        "known": view.state == "running" and view.progress > 0,
        "preview": data_url(view.preview) if view.preview and not view.ended else None,
        "waiting": waiting,
        "pictures": view.pictures,
        "error": None,
        "notes": [],
    }
