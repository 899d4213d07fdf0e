"""`Prefer: respond-async` (RFC 7240): any call that draws answers at once with the id of a job."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from modules.api.jobs import address_of
from modules.contracts.jobs import JobTerms
from modules.contracts.request import GenerationRequest
from modules.support.studio import Studio

WORD = "respond-async"
Prefer = Annotated[
    str | None, Header(description="With `respond-async` the answer is 202 and the id of a job.", examples=[WORD])
]


class Promised(BaseModel):
    """The job that was stored."""

    job_id: str
    location: str = Field(description="Where the job is found, also in the header `Location`.")


PROMISED: dict[int | str, dict[str, Any]] = {202: {"model": Promised, "description": "Asked for with respond-async"}}


def prefers_async(request: Request) -> bool:
    """Whether the client does not want to wait."""
    wishes = ",".join(request.headers.getlist("prefer")).split(",")
    return any(wish.partition(";")[0].strip().lower() == WORD for wish in wishes)


def key_of(request: Request) -> str | None:
    """The idempotency key of a call."""
    return request.headers.get("idempotency-key") or None


async def promise(
    request: Request, studio: Studio, wanted: GenerationRequest, owner: str, job_id: str | None = None
) -> JSONResponse:
    """Store the job and say where it is. Its pictures are kept in the gallery: nobody waits for them here."""
    kept = dataclasses.replace(wanted, output=dataclasses.replace(wanted.output, save=True))
    terms = JobTerms(idempotency_key=key_of(request))
    handle = await run_in_threadpool(studio.queue.submit, kept, owner, job_id=job_id, terms=terms)
    place = address_of(request, handle.id)
    told = Promised(job_id=handle.id, location=place).model_dump()
    return JSONResponse(told, 202, {"Location": place, "Preference-Applied": WORD})
