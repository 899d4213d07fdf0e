"""Accounts over HTTP: oneself, one's tokens and credits; for admins also everybody's, and the tiers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from modules.api.services import Admin, Person, Services
from modules.contracts.accounts import Role, Tier
from modules.contracts.errors import InvalidRequest, NotAllowed, UnknownName

router = APIRouter(prefix="/api/v1", tags=["accounts"])


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UserRow(_Row):
    """An account."""

    name: str
    role: Role
    tier: str
    created: datetime
    disabled: bool


class NewUser(BaseModel):
    """An account to be made."""

    name: str = Field(examples=["bob"], max_length=64)
    password: str = Field(max_length=1024, examples=["correct horse"])
    role: Role = "user"
    tier: str = "standard"


class UserChange(BaseModel):
    """What to change of an account; what is left out stays."""

    password: str | None = Field(default=None, max_length=1024)
    role: Role | None = None
    tier: str | None = None
    disabled: bool | None = None


class TokenRow(_Row):
    """A key for a program, without its text."""

    id: str
    user: str
    label: str
    created: datetime
    expires: datetime | None
    used: datetime | None


class NewToken(BaseModel):
    """A token to be made."""

    label: str = Field(default="", max_length=200, examples=["my script"])
    days: float | None = Field(default=None, gt=0, le=36_500, description="How long it works; for ever when left out.")


class TokenMade(TokenRow):
    """A new token with its text, which is shown this once."""

    text: str


class TierRow(_Row):
    """What somebody may use; null does not limit."""

    name: str = Field(min_length=1, max_length=40)
    credits_per_day: float | None = Field(default=None, ge=0)
    credits_per_month: float | None = Field(default=None, ge=0)
    pictures_per_minute: int | None = Field(default=None, ge=0)
    max_pixels: int | None = Field(default=None, ge=0)
    max_steps: int | None = Field(default=None, ge=0)
    queue_depth: int | None = Field(default=None, ge=0)
    models: tuple[str, ...] = ()
    weight: float = Field(default=1.0, gt=0)


class AllowanceRow(BaseModel):
    """What is left. One credit is one megapixel-step."""

    owner: str
    tier: TierRow
    used_today: float
    used_this_month: float
    left_today: float | None
    left_this_month: float | None


class LedgerRow(_Row):
    """One line of the account book."""

    number: int
    owner: str
    moment: datetime
    kind: str
    credits: float
    job_id: str | None
    note: str


class Grant(BaseModel):
    """Credits beyond the tier's, for this day and month."""

    credits: float = Field(allow_inf_nan=False)
    note: str = Field(default="", max_length=500)


@router.get("/me")
def me(studio: Services, person: Person) -> AllowanceRow:
    """Who asks, and what they have left."""
    return _allowance(studio, person.name)


@router.get("/me/tokens")
def my_tokens(studio: Services, person: Person) -> list[TokenRow]:
    """The caller's tokens."""
    return [TokenRow.model_validate(token) for token in studio.accounts.tokens(person.name)]


@router.post("/me/tokens", status_code=201)
def make_token(studio: Services, person: Person, wanted: NewToken) -> TokenMade:
    """A new token of the caller's. Its text is shown this once. A token cannot make tokens."""
    if person.means == "token":
        raise NotAllowed("A token cannot make tokens; sign in with name and password.")
    token, text = studio.accounts.add_token(person.name, wanted.label, days=wanted.days)
    return TokenMade(**asdict(token), text=text)


@router.delete("/me/tokens/{token_id}", status_code=204)
def drop_token(studio: Services, person: Person, token_id: str) -> None:
    """Take a token of the caller's away."""
    if not studio.accounts.remove_token(token_id, user=person.name):
        raise UnknownName(f"There is no token {token_id[:64]!r} of yours.")


@router.get("/me/ledger")
def my_ledger(studio: Services, person: Person, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[LedgerRow]:
    """The caller's account book, newest first."""
    return [LedgerRow.model_validate(line) for line in studio.accounts.ledger(person.name, limit=limit)]


@router.get("/users")
def users(studio: Services, admin: Admin) -> list[UserRow]:
    """All accounts."""
    return [UserRow.model_validate(user) for user in studio.accounts.users()]


@router.post("/users", status_code=201)
def make_user(studio: Services, admin: Admin, wanted: NewUser) -> UserRow:
    """A new account. The first one has to be an admin's; from then on everybody has to sign in."""
    made = studio.accounts.add_user(wanted.name, wanted.password, role=wanted.role, tier=wanted.tier)
    return UserRow.model_validate(made)


@router.patch("/users/{name}")
def change_user(studio: Services, admin: Admin, name: str, change: UserChange) -> UserRow:
    """Change an account."""
    _known(studio, name)
    given: dict[str, Any] = change.model_dump(exclude_none=True)
    return UserRow.model_validate(studio.accounts.change_user(name, **given))


@router.delete("/users/{name}", status_code=204)
def drop_user(studio: Services, admin: Admin, name: str) -> None:
    """Take an account away; jobs, pictures and ledger stay under its name."""
    _known(studio, name)
    studio.accounts.remove_user(name)


@router.get("/users/{name}/allowance")
def allowance(studio: Services, admin: Admin, name: str) -> AllowanceRow:
    """What somebody has left."""
    _known(studio, name)
    return _allowance(studio, name)


@router.post("/users/{name}/grants", status_code=201)
def grant(studio: Services, admin: Admin, name: str, wanted: Grant) -> LedgerRow:
    """Give somebody credits, or take some back."""
    _known(studio, name)
    return LedgerRow.model_validate(studio.accounts.grant(name, wanted.credits, wanted.note))


@router.get("/ledger")
def ledger(
    studio: Services,
    admin: Admin,
    owner: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[LedgerRow]:
    """Everybody's account book, newest first."""
    return [LedgerRow.model_validate(line) for line in studio.accounts.ledger(owner, limit=limit)]


@router.get("/tiers")
def tiers(studio: Services, person: Person) -> list[TierRow]:
    """All tiers."""
    return [TierRow.model_validate(tier) for tier in studio.accounts.tiers()]


@router.put("/tiers/{name}")
def set_tier(studio: Services, admin: Admin, name: str, wanted: TierRow) -> TierRow:
    """Add or replace a tier; it counts for the next job of whoever has it."""
    if wanted.name != name:
        raise InvalidRequest(f"The body is about the tier {wanted.name!r} and the address about {name[:64]!r}.")
    studio.accounts.set_tier(Tier(**wanted.model_dump()))
    return wanted


def _known(studio: Services, name: str) -> None:
    if studio.accounts.user(name) is None:
        raise UnknownName(f"There is no user {name[:64]!r}.")


def _allowance(studio: Services, owner: str) -> AllowanceRow:
    left = studio.accounts.allowance(owner)
    return AllowanceRow(
        owner=owner,
        tier=TierRow.model_validate(left.tier),
        used_today=left.used_today,
        used_this_month=left.used_this_month,
        left_today=left.left_today,
        left_this_month=left.left_this_month,
    )
