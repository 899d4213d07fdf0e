"""Jobs as documents that another studio takes in: the body of `/api/v1/jobs` that asks for the same, and what its owner
noted of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from PIL import Image
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from modules.api.access import owner_wanted
from modules.api.images import to_base64
from modules.api.intake import Intake
from modules.api.jobs import CLEAN, REFUSED
from modules.api.services import Owner, Person, Services
from modules.api.typed import NOT_ASKED, JobWanted, read_wanted
from modules.contracts.control import ControlUnit, unit_parameters, value_of
from modules.contracts.detailer import GROUPS as DETAIL_GROUPS
from modules.contracts.detailer import Detail
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import InvalidRequest, StudioError
from modules.contracts.jobs import LONGEST_NAME, JobRecord
from modules.contracts.parameters import declared
from modules.contracts.request import GROUPS, GenerationRequest
from modules.contracts.scripts import ScriptUse
from modules.outputs.metadata import encode
from modules.support.studio import Studio

router = APIRouter(prefix="/api/v1/queue", tags=["queue"])
MOST_CARRIED = 1000
LARGEST_FILE = 32 * 2**20
"""Bytes of pictures after which a list of documents ends."""


class CarriedJob(BaseModel):
    """A job that waits, as a document."""

    request: JobWanted = Field(description="What is asked for, pictures in base64, seeds drawn.")
    name: str = Field("", max_length=LONGEST_NAME, pattern=CLEAN)
    bookmarked: bool = False


class CarriedQueue(BaseModel):
    """Jobs in the order in which they came."""

    jobs: Annotated[list[CarriedJob], Field(max_length=MOST_CARRIED)]


class DocumentsWanted(BaseModel):
    """Which jobs to write down."""

    owner: str | None = Field(None, max_length=64, pattern=CLEAN, description="For admins: a name, or * for everybody.")
    limit: int = Field(100, ge=1, le=MOST_CARRIED)
    offset: int = Field(0, ge=0, le=100_000)


class TakenIn(BaseModel):
    """What became of one document."""

    id: str | None = Field(description="Of the new job; null where it was refused.")
    error: str | None = Field(description="Why it was refused.")


class TakenInList(BaseModel):
    """What became of the documents, in their order."""

    jobs: list[TakenIn]


@router.get("/documents", response_model_exclude_none=True, responses=REFUSED)
def write_down(studio: Services, person: Person, wanted: Annotated[DocumentsWanted, Query()]) -> CarriedQueue:
    """The caller's jobs that wait, oldest first, as documents that any studio takes in. They go on waiting.

    Fewer than `limit` come where their pictures are large; `offset` gives those behind them.
    """
    found = waiting_of(studio, owner_wanted(person, wanted.owner), wanted.limit, wanted.offset)
    jobs = [
        CarriedJob(
            request=JobWanted.model_validate(wanted_of(asked) | {"terms": _terms_of(record)}),
            name=record.details.name,
            bookmarked=record.details.bookmarked,
        )
        for record, asked in found
    ]
    return CarriedQueue(jobs=jobs)


@router.post("/documents", responses=REFUSED)
async def take_documents(studio: Services, owner: Owner, given: CarriedQueue, request: Request) -> TakenInList:
    """Take documents in as new jobs of the caller, one after the other. One that is refused hinders no other."""
    taken = [await run_in_threadpool(_take_in, studio, owner, job) for job in given.jobs]
    return TakenInList(jobs=taken)


def _take_in(studio: Studio, owner: str, job: CarriedJob) -> TakenIn:
    try:
        return TakenIn(id=take_in(studio, owner, job), error=None)
    except StudioError as error:
        return TakenIn(id=None, error=str(error))


def take_in(studio: Studio, owner: str, job: CarriedJob) -> str:
    """Store a document as a new job and return its id. Raises `StudioError`. Blocks while pictures are decoded."""
    asked = read_wanted(job.request, studio, Intake(studio, owner))
    job_id = studio.queue.submit(asked, owner, terms=job.request.terms.terms(None)).id
    if job.name or job.bookmarked:
        studio.queue.mark(job_id, name=job.name, bookmarked=job.bookmarked)
    return job_id


def waiting_of(
    studio: Studio, owner: str | None, limit: int, offset: int
) -> Iterator[tuple[JobRecord, GenerationRequest]]:
    """Jobs that wait, oldest first, with what they ask for; of everybody where `owner` is None.

    They end after those whose pictures reach `LARGEST_FILE` together, so that no answer is as large as the whole queue;
    whoever wants the others asks from there on. One that an older version wrote and this one cannot read is left out,
    and so is one that has started meanwhile and whose pictures are gone.
    """
    size = 0
    for record in studio.queue.list(owner=owner, state="queued", limit=offset + limit, oldest_first=True)[offset:]:
        try:
            asked = studio.queue.request(record.id)
        except InvalidRequest:
            continue
        if asked is not None:
            yield record, asked
            size += sum(map(len, _pictures_of(asked)))
            if size >= LARGEST_FILE:
                return


def wanted_of(asked: GenerationRequest) -> dict[str, Any]:
    """The body of `/api/v1/jobs` that asks for the same: `read_wanted` makes an equal request of it.

    Names of models and samplers are as they were looked up here, and the owner's own settings are left out: those of
    whoever takes it in hold there.
    """
    body: dict[str, Any] = {}
    for name, kind in GROUPS.items():
        group = getattr(asked, name)
        if group is not None:
            body[name] = _group(name, kind, group)
    if asked.image is not None:
        body["image"]["images"] = [to_base64(data) for data in asked.image.images]
    if asked.inpaint is not None:
        body["inpaint"]["mask"] = to_base64(asked.inpaint.mask)
        body["inpaint"]["latent_mask"] = to_base64(asked.inpaint.latent_mask) or None
    if asked.enlarge is not None:
        body["enlarge"]["images"] = [to_base64(data) for data in _told(asked.enlarge)]
    body["hires"]["first_pass"] = to_base64(asked.first_pass) or None
    body["style"]["image"] = to_base64(asked.style.image) or None
    body["regions"]["mask"] = to_base64(asked.regions.mask) or None
    body["further"] = [_detail(detail) for detail in asked.further]
    body["scripts"] = {
        "always": [_script(use) for use in asked.scripts.always],
        "run": None if asked.scripts.run is None else _script(asked.scripts.run),
    }
    body["control"] = {"units": [_unit(unit) for unit in asked.control.units]}
    return body


def _pictures_of(asked: GenerationRequest) -> Iterator[bytes]:
    yield from () if asked.image is None else asked.image.images
    yield from () if asked.enlarge is None else asked.enlarge.images
    yield from () if asked.inpaint is None else (asked.inpaint.mask, asked.inpaint.latent_mask)
    yield from (asked.first_pass, asked.style.image)
    for unit in asked.control.units:
        yield from (unit.image, unit.mask)
    for detail in asked.details:
        yield detail.regions.mask
    for use in (*asked.scripts.always, *([] if asked.scripts.run is None else [asked.scripts.run])):
        yield from (one.picture for one in use.values)


def _group(name: str, kind: type, group: Any) -> dict[str, Any]:
    """What is declared of a group and can be asked for."""
    items = (item for item in declared(kind, (name,)) if item.path not in NOT_ASKED)
    return {item.path[1]: _plain(getattr(group, item.path[1])) for item in items}


def _detail(detail: Detail) -> dict[str, Any]:
    body = {name: _group(name, kind, getattr(detail, name)) for name, kind in DETAIL_GROUPS}
    body["regions"]["mask"] = to_base64(detail.regions.mask) or None
    return body


def _unit(unit: ControlUnit) -> dict[str, Any]:
    values = {item.path[-1]: _plain(value_of(unit, item)) for item in unit_parameters()}
    return {**values, "image": to_base64(unit.image) or None, "mask": to_base64(unit.mask) or None}


def _script(use: ScriptUse) -> dict[str, Any]:
    values = {one.name: to_base64(one.picture) if one.picture else one.value for one in use.values}
    return {"name": use.name, "values": values}


def _terms_of(record: JobRecord) -> dict[str, Any]:
    """A deadline is not carried: it was set for this studio's queue."""
    terms = record.terms
    return {"priority": terms.priority, "timeout": terms.timeout, "keep_partial": terms.keep_partial}


def _told(given: EnlargeParams) -> list[bytes]:
    """The pictures with what they said of themselves inside them again."""
    if not given.infotexts:
        return list(given.images)
    told = []
    for data, text in zip(given.images, given.infotexts, strict=True):
        with Image.open(io.BytesIO(data)) as image:
            told.append(encode(image, "png", infotext=text, recipe={}, quality=100) if text else data)
    return told


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
