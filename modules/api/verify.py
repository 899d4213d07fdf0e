"""Draws a kept picture again and says how far it comes out the same, and what has changed since where it does not."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from modules.api.messages import FAILURES
from modules.api.running import attended, wait_ready
from modules.api.services import Person, Services
from modules.contracts.errors import NotAllowed, UnknownName
from modules.outputs.verify import COMPANY, Verifier

router = APIRouter(prefix="/api/v1/pictures", tags=["pictures"])


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class DifferenceRow(_Row):
    """How far a repetition is from the picture, in levels of 255."""

    largest: int = Field(ge=0, le=255)
    mean: float = Field(ge=0, le=255)


class ChangeRow(_Row):
    """A part of the recipe that is not what it was."""

    part: str = Field(examples=["versions.torch"])
    then: Any
    now: Any


class VerdictRow(_Row):
    """What came of drawing a picture again."""

    picture_id: str
    same: bool = Field(description="Both repetitions are within the tolerance everywhere.")
    tolerance: int = Field(description="Levels of 255: 1, 8 for a file that loses a little, 32 for an MP4 film.")
    alone: DifferenceRow
    company: DifferenceRow
    changes: list[ChangeRow]


@router.post("/{picture_id}/verify", responses=FAILURES)
async def verify(
    request: Request,
    studio: Services,
    person: Person,
    picture_id: str,
    company: Annotated[int, Query(ge=0, le=8, description="Pictures drawn beside it the second time.")] = COMPANY,
) -> VerdictRow:
    """Draw a picture again from its recipe, once alone and once among others. The drawings are the caller's jobs.

    A client that hangs up cancels them. `Prefer: respond-async` does not apply: a verdict is not one job's result.
    """
    picture = await run_in_threadpool(studio.pictures.get, picture_id)
    if picture is None:
        raise UnknownName(f"There is no picture {picture_id[:64]!r}.")
    if not person.may_touch(picture.owner):
        raise NotAllowed("That picture belongs to somebody else.")
    await wait_ready(studio)
    verifier = Verifier(studio.pictures, studio.queue, lambda: int(studio.settings["jpeg_quality"]))
    return VerdictRow.model_validate(await attended(request, verifier.repeat(picture_id, person.name, company)))
