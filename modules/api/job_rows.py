"""Jobs as `/api/v1` shows them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from modules.api.paging import Page
from modules.contracts.jobs import JobProgress, JobRecord, JobState
from modules.contracts.pictures import StoredPicture


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True, protected_namespaces=())


class JobError(_Row):
    """Why a job failed."""

    kind: str
    message: str


class TermsRow(_Row):
    """On what terms the job runs."""

    priority: int
    deadline: datetime | None
    timeout: float | None
    keep_partial: bool
    idempotency_key: str | None


class JobRow(_Row):
    """A job. `state` is queued, running, done, failed or cancelled; exactly one of the last three ends it."""

    id: str
    owner: str
    state: JobState
    paused: bool
    created: datetime
    started: datetime | None
    ended: datetime | None
    attempts: int = Field(description="How often a lane took it.")
    crashes: int = Field(description="How often the studio died while it ran; after two it is set aside.")
    pictures: int = Field(description="Pictures that are finished.")
    error: JobError | None
    terms: TermsRow
    model: str = Field(description="As the request names it; empty is the default.")
    megapixel_steps: float
    predicted_seconds: float
    measured_seconds: float | None
    origin: str | None = Field(description="The job that it repeats.")
    name: str = Field(description="What its owner calls it; empty for most.")
    bookmarked: bool = Field(description="It stays in the list, however long ago it ended.")
    words: str = Field(description="The beginning of its prompt, up to 300 characters.")
    mode: str = Field(description="txt2img, img2img, inpaint, enlarge; empty for jobs of earlier versions.")


class EtaRow(_Row):
    """Seconds until the end. Four times in five it falls between `low` and `high`."""

    low: float
    likely: float
    high: float


class ProgressRow(_Row):
    """Where a job stands."""

    progress: float = Field(description="0 to 1.")
    step: int
    steps: int
    batch: int
    batches: int
    stage: str
    position: int = Field(description="Jobs that are to start before it.")
    eta: EtaRow | None = Field(description="Null as long as this machine's speed is not known.")
    preview: bool = Field(description="There is a look at the unfinished picture, at `/api/v1/jobs/{id}/preview`.")


class JobView(JobRow):
    """A job and where it stands."""

    progress: ProgressRow | None


class JobList(Page):
    """A page of jobs, newest first."""

    jobs: list[JobRow]


class LogRow(_Row):
    """One line of what a job said."""

    moment: datetime
    attempt: int
    level: str
    text: str


class LogList(Page):
    """A page of a job's log, oldest first."""

    lines: list[LogRow]


class PictureRow(_Row):
    """A finished picture. The id is all that names it."""

    id: str
    job_id: str
    index: int
    owner: str
    created: datetime
    width: int
    height: int
    media_type: str
    name: str = Field(description="File name for a download.")
    infotext: str
    favourite: bool
    binned: datetime | None = Field(description="Since when it is in the bin, from which it can be taken back.")


class JobPictureList(Page):
    """A page of one job's pictures, in their order."""

    pictures: list[PictureRow]


def row_of(record: JobRecord) -> JobRow:
    """The row without its progress."""
    details = record.details
    failed = record.error_kind is not None
    return JobRow(
        id=record.id,
        owner=record.owner,
        state=record.state,
        paused=details.paused,
        created=record.created,
        started=record.started,
        ended=record.ended,
        attempts=record.attempts,
        crashes=details.crashes,
        pictures=record.pictures,
        error=JobError(kind=record.error_kind or "", message=record.error or "") if failed else None,
        terms=TermsRow.model_validate(record.terms),
        model=details.model,
        megapixel_steps=details.megapixel_steps,
        predicted_seconds=details.predicted_seconds,
        measured_seconds=details.measured_seconds,
        origin=details.origin,
        name=details.name,
        bookmarked=details.bookmarked,
        words=details.words,
        mode=details.mode,
    )


def progress_of(now: JobProgress) -> ProgressRow:
    """Where the job stands, without the bytes of its preview."""
    eta = None if now.eta is None else EtaRow.model_validate(now.eta)
    return ProgressRow(
        progress=now.progress,
        step=now.step,
        steps=now.steps,
        batch=now.batch,
        batches=now.batches,
        stage=now.stage,
        position=now.position,
        eta=eta,
        preview=now.preview is not None,
    )


def picture_row(row: StoredPicture) -> PictureRow:
    """One row of the gallery, without its recipe."""
    plain = {name: getattr(row, name) for name in PictureRow.model_fields if hasattr(row, name)}
    return PictureRow(**plain, favourite=row.marks.favourite, binned=row.marks.binned)
