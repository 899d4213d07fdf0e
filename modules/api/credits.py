"""How much somebody may use, has used and has left: tiers, allowances, and the account book."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from modules.api.jobs import REFUSED
from modules.api.paging import Page, Paging, page_of
from modules.api.people import Name, known
from modules.api.services import Admin, Person, Services
from modules.contracts.accounts import Tier
from modules.contracts.errors import InvalidRequest, UnknownName
from modules.support.studio import Studio

router = APIRouter(prefix="/api/v1", tags=["accounts"])
TierName = Annotated[str, Path(max_length=40, description="Name of a tier.", examples=["standard"])]


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class TierRow(_Row):
    """What somebody may use; null does not limit."""

    name: str = Field(min_length=1, max_length=40, examples=["standard"])
    credits_per_day: float | None = Field(default=None, ge=0, description="Megapixel-steps.", examples=[20000])
    credits_per_month: float | None = Field(default=None, ge=0, examples=[None])
    pictures_per_minute: int | None = Field(default=None, ge=0, examples=[60])
    max_pixels: int | None = Field(default=None, ge=0, description="Of one picture.", examples=[4194304])
    max_steps: int | None = Field(default=None, ge=0, examples=[150])
    queue_depth: int | None = Field(default=None, ge=0, description="Jobs that wait or run.", examples=[50])
    models: tuple[str, ...] = Field((), description="Shell patterns of names; none allows all.", examples=[["pocket*"]])
    weight: float = Field(default=1.0, gt=0, description="Part of the lanes while others wait too.", examples=[1.0])


class AllowanceRow(BaseModel):
    """What is left; null is without limit. One credit is one megapixel-step."""

    owner: str = Field(examples=["bob"])
    tier: TierRow = Field(description="The weight is the owner's own where an admin has given them one.")
    used_today: float = Field(examples=[105.2])
    used_this_month: float = Field(examples=[105.2])
    left_today: float | None = Field(examples=[19894.8])
    left_this_month: float | None = Field(examples=[None])
    left_this_minute: int | None = Field(description="Pictures that may be asked for now.", examples=[59])
    jobs: int = Field(ge=0, description="Jobs that wait or run.", examples=[1])
    jobs_left: int | None = Field(ge=0, description="How many more may wait.", examples=[49])


class LedgerRow(_Row):
    """One line of the account book."""

    number: int = Field(examples=[1])
    owner: str = Field(examples=["bob"])
    moment: datetime
    kind: str = Field(description="charge, refund or grant.", examples=["charge"])
    credits: float = Field(examples=[-5.2])
    job_id: str | None = Field(examples=["0f3c"])
    note: str = Field(examples=[""])


class TierList(Page):
    """A part of the tiers, by name."""

    tiers: list[TierRow]


class LedgerPage(Page):
    """A part of an account book, newest first. Lines that come meanwhile shift nothing."""

    lines: list[LedgerRow]


class LedgerWanted(Paging):
    """Which part of everybody's account book."""

    owner: str | None = Field(None, max_length=64, description="Of this owner only.", examples=["bob"])


class Grant(BaseModel):
    """Credits beyond the tier's, for this day and month."""

    credits: float = Field(allow_inf_nan=False, examples=[200])
    note: str = Field(default="", max_length=500, examples=["for the workshop"])


@router.get("/me", responses=REFUSED)
def me(studio: Services, person: Person) -> AllowanceRow:
    """Who asks, and what they have left."""
    return _allowance(studio, person.name)


@router.get("/me/ledger", responses=REFUSED)
def my_ledger(studio: Services, person: Person, wanted: Annotated[Paging, Query()]) -> LedgerPage:
    """The caller's account book, newest first."""
    return _ledger(studio, person.name, wanted)


@router.get("/users/{name}/allowance", responses=REFUSED)
def allowance(studio: Services, admin: Admin, name: Name) -> AllowanceRow:
    """What somebody has left."""
    return _allowance(studio, known(studio, name).name)


@router.post("/users/{name}/grants", status_code=201, responses=REFUSED)
def grant(studio: Services, admin: Admin, name: Name, wanted: Grant) -> LedgerRow:
    """Give somebody credits, or take some back."""
    line = studio.accounts.grant(known(studio, name).name, wanted.credits, wanted.note)
    return LedgerRow.model_validate(line)


@router.get("/ledger", responses=REFUSED)
def ledger(studio: Services, admin: Admin, wanted: Annotated[LedgerWanted, Query()]) -> LedgerPage:
    """Everybody's account book, newest first."""
    return _ledger(studio, wanted.owner, wanted)


@router.get("/tiers", responses=REFUSED)
def tiers(studio: Services, person: Person, wanted: Annotated[Paging, Query()]) -> TierList:
    """All tiers."""
    return page_of(TierList, "tiers", studio.accounts.tiers(), wanted)


@router.get("/tiers/{name}", responses=REFUSED)
def get_tier(studio: Services, person: Person, name: TierName) -> TierRow:
    """One tier."""
    for tier in studio.accounts.tiers():
        if tier.name == name:
            return TierRow.model_validate(tier)
    raise UnknownName(f"There is no tier {name!r}.")


@router.put("/tiers/{name}", responses=REFUSED)
def set_tier(studio: Services, admin: Admin, name: TierName, wanted: TierRow) -> TierRow:
    """Add or replace a tier; it counts for the next job of whoever has it."""
    if wanted.name != name:
        raise InvalidRequest(f"The body is about the tier {wanted.name!r} and the address about {name!r}.")
    studio.accounts.set_tier(Tier(**wanted.model_dump()))
    return wanted


@router.delete("/tiers/{name}", status_code=204, responses=REFUSED)
def drop_tier(studio: Services, admin: Admin, name: TierName) -> None:
    """Take a tier away. 422 while somebody has it, and for those that new accounts get."""
    if not studio.accounts.remove_tier(name):
        raise UnknownName(f"There is no tier {name!r}.")


def _ledger(studio: Studio, owner: str | None, wanted: Paging) -> LedgerPage:
    """Pages follow one another by the number of a line, since lines are added at the end that is read first."""
    lines = studio.accounts.ledger(owner, limit=wanted.limit + 1, after=wanted.after or None)
    page = lines[: wanted.limit]
    return LedgerPage(
        lines=[LedgerRow.model_validate(line) for line in page],
        following=page[-1].number if len(lines) > len(page) else None,
        total=studio.accounts.ledger_length(owner),
    )


def _allowance(studio: Studio, owner: str) -> AllowanceRow:
    left, jobs = studio.accounts.allowance(owner), studio.queue.pending(owner)
    depth = left.tier.queue_depth
    return AllowanceRow(
        owner=owner,
        tier=TierRow.model_validate(left.tier),
        used_today=left.used_today,
        used_this_month=left.used_this_month,
        left_today=left.left_today,
        left_this_month=left.left_this_month,
        left_this_minute=studio.accounts.left_this_minute(owner),
        jobs=jobs,
        jobs_left=None if depth is None else max(0, depth - jobs),
    )
