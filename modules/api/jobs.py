"""`/api/v1/jobs`: ask for pictures, look at one's jobs, fetch what came out."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field
from starlette.concurrency import run_in_threadpool

from modules.api.access import job_of, owner_wanted
from modules.api.intake import Intake
from modules.api.job_rows import (
    JobList,
    JobPictureList,
    JobView,
    LogList,
    picture_row,
    progress_of,
    row_of,
)
from modules.api.messages import Failure, told
from modules.api.paging import Paging, page_of
from modules.api.services import Own, Owner, Person, Services
from modules.api.typed import JobWanted, read_wanted
from modules.contracts.codec import encode
from modules.contracts.errors import UnknownName
from modules.contracts.jobs import JobFilter, JobState
from modules.contracts.validation import MAX_PICTURES
from modules.support.studio import Studio

PREVIEWS = ("image/jpeg", "image/png", "image/webp")
PREFIX = "/api/v1/jobs"
router = APIRouter(prefix=PREFIX, tags=["jobs"])
IMAGE: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in PREVIEWS}
CLEAN = r"^[^\x00]*$"
LARGEST = 2**53
REFUSED: dict[int | str, dict[str, Any]] = {
    status: told(text, Failure)
    for status, text in (
        (401, "Nobody is signed in"),
        (403, "It belongs to somebody else"),
        (404, "Something that was named is not here"),
        (429, "Credits, rate or queue depth are used up; Retry-After says for how long"),
        (503, "The studio is full or closing"),
    )
}
JobKey = Annotated[
    str | None,
    Header(
        max_length=128, description="The same request under the same key gives the same job.", examples=["order-17"]
    ),
]


class JobsWanted(BaseModel):
    """Which jobs to list."""

    state: list[JobState] = Field([], description="Any of these; none is all.")
    model: str | None = Field(None, max_length=500, pattern=CLEAN)
    paused: bool | None = None
    bookmarked: bool | None = None
    since: AwareDatetime | None = Field(None, description="Created then or later, with a time zone.")
    until: AwareDatetime | None = Field(None, description="Created before.")
    owner: str | None = Field(None, max_length=64, pattern=CLEAN, description="For admins: a name, or * for everybody.")
    limit: int = Field(100, ge=1, le=1000)
    after: int | None = Field(None, ge=0, le=LARGEST, description="`following` of the page before.")


class RequestRow(BaseModel):
    """What was asked for."""

    mode: str
    request: dict[str, Any]


@router.post("", status_code=202, responses=REFUSED)
async def create_job(
    studio: Services,
    owner: Owner,
    wanted: JobWanted,
    request: Request,
    answer: Response,
    own: Own,
    idempotency_key: JobKey = None,
) -> JobView:
    """Ask for pictures. The job is stored when this answers; `Location` is its address.

    What is left out of checkpoint, VAE, clip skip and format is as the caller's settings say.
    """
    intake = Intake(studio, owner, idempotency_key)
    asked = await run_in_threadpool(lambda: read_wanted(wanted, studio, intake, own.defaults(owner)))
    terms = wanted.terms.terms(idempotency_key)
    handle = await run_in_threadpool(studio.queue.submit, asked, owner, terms=terms)
    answer.headers["Location"] = address_of(request, handle.id)
    return await run_in_threadpool(view, studio, handle.id)


@router.get("", responses=REFUSED)
def list_jobs(studio: Services, person: Person, wanted: Annotated[JobsWanted, Query()]) -> JobList:
    """The caller's jobs, newest first, page by page."""
    which = JobFilter(
        owner=owner_wanted(person, wanted.owner),
        states=tuple(wanted.state),
        model=wanted.model,
        paused=wanted.paused,
        bookmarked=wanted.bookmarked,
        since=wanted.since,
        until=wanted.until,
    )
    page = studio.queue.page(which, limit=wanted.limit, after=wanted.after)
    return JobList(jobs=[row_of(record) for record in page.jobs], following=page.following, total=page.total)


@router.get("/{job_id}", responses=REFUSED)
def get_job(studio: Services, person: Person, job_id: str) -> JobView:
    """One job and where it stands: progress, position in the queue, and when it may end."""
    return view(studio, job_of(studio, person, job_id).id)


@router.get("/{job_id}/request", responses=REFUSED)
def get_request(studio: Services, person: Person, job_id: str) -> RequestRow:
    """What was asked for, seeds drawn, pictures as base64. 404 when pictures of an ended job are not kept any more."""
    job_of(studio, person, job_id)
    asked = studio.queue.request(job_id)
    if asked is None:
        raise UnknownName("The pictures that came with that job are not kept any more.")
    return RequestRow(mode=asked.mode, request=encode(asked))


@router.get("/{job_id}/log", responses=REFUSED)
def get_log(studio: Services, person: Person, job_id: str, wanted: Annotated[Paging, Query()]) -> LogList:
    """What a job said that runs, failed or was cancelled, oldest first. One that is done keeps none."""
    job_of(studio, person, job_id)
    return page_of(LogList, "lines", studio.queue.log(job_id), wanted)


@router.get("/{job_id}/pictures", responses=REFUSED)
def get_pictures(studio: Services, person: Person, job_id: str, wanted: Annotated[Paging, Query()]) -> JobPictureList:
    """The job's finished pictures, in their order; of one that runs those it has finished so far."""
    job_of(studio, person, job_id)
    rows = studio.pictures.list(job_id=job_id, limit=MAX_PICTURES)
    shown = [picture_row(row) for row in sorted(rows, key=lambda row: row.index)]
    return page_of(JobPictureList, "pictures", shown, wanted)


@router.get("/{job_id}/preview", response_class=Response, responses=REFUSED | {200: {"content": IMAGE}})
def get_preview(studio: Services, person: Person, job_id: str) -> Response:
    """The latest look at the unfinished picture; of a cancelled job with `keep_partial` the last one. 404 for none."""
    job_of(studio, person, job_id)
    now = studio.queue.progress(job_id)
    data = (now.preview if now is not None else None) or studio.queue.partial(job_id)
    if not data:
        raise UnknownName("There is no preview of that job now.")
    return Response(data, media_type=type_of(data), headers={"Cache-Control": "no-store"})


def view(studio: Studio, job_id: str) -> JobView:
    """A job that is there, with its progress."""
    record = studio.queue.get(job_id)
    if record is None:
        raise UnknownName(f"There is no job {job_id!r} any more.")
    now = studio.queue.progress(job_id)
    return JobView(**row_of(record).model_dump(), progress=None if now is None else progress_of(now))


def address_of(request: Request, job_id: str) -> str:
    """Where a job is found, below the sub-path."""
    below = request.scope.get("root_path", "").rstrip("/")
    return f"{below}{PREFIX}/{quote(job_id, safe='')}"


def type_of(data: bytes) -> str:
    """Media type of a preview by its first bytes; nothing but pictures is ever named."""
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if data[8:12] == b"WEBP" else "image/jpeg"
