"""Accounts over HTTP: oneself and one's tokens; for admins also everybody's. Credits and tiers are in `credits`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from modules.api.auth import proof_of
from modules.api.jobs import REFUSED
from modules.api.paging import Page, Paging, page_of
from modules.api.services import Admin, Member, Person, Services
from modules.contracts.accounts import Caller, Role
from modules.contracts.errors import NotAllowed, NotSignedIn, UnknownName
from modules.support.studio import Studio

router = APIRouter(prefix="/api/v1", tags=["accounts"])
Name = Annotated[str, Path(max_length=64, description="Name of an account.", examples=["bob"])]


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UserRow(_Row):
    """An account."""

    name: str = Field(examples=["bob"])
    role: Role
    tier: str = Field(examples=["standard"])
    created: datetime
    disabled: bool = Field(examples=[False])


class NewUser(BaseModel):
    """An account to be made."""

    name: str = Field(examples=["bob"], max_length=64)
    password: str = Field(max_length=1024, examples=["correct horse"])
    role: Role = "user"
    tier: str | None = Field(None, max_length=40, description="Left out it is that of the role.", examples=["standard"])
    inherit: bool = Field(
        False, description="Take over jobs, pictures and ledger of whoever drew under that name before."
    )


class UserChange(BaseModel):
    """What to change of an account; what is left out stays."""

    password: str | None = Field(default=None, max_length=1024, examples=["battery staple"])
    role: Role | None = None
    tier: str | None = Field(default=None, max_length=40, examples=["standard"])
    disabled: bool | None = Field(default=None, examples=[False])


class PasswordChange(BaseModel):
    """A new password, and the one until now."""

    old: str = Field(max_length=1024, examples=["correct horse"])
    new: str = Field(max_length=1024, examples=["battery staple"])


class TokenRow(_Row):
    """A key for a program, without its text."""

    id: str = Field(examples=["0f3c"])
    user: str = Field(examples=["bob"])
    label: str = Field(examples=["my script"])
    created: datetime
    expires: datetime | None
    used: datetime | None


class NewToken(BaseModel):
    """A token to be made."""

    label: str = Field(default="", max_length=200, examples=["my script"])
    days: float | None = Field(
        default=None, gt=0, le=36_500, description="How long it works; for ever when left out.", examples=[90]
    )


class TokenMade(TokenRow):
    """A new token with its text, which is shown this once."""

    text: str = Field(examples=["atl_…"])


class UserList(Page):
    """A part of the accounts, by name."""

    users: list[UserRow]


class TokenList(Page):
    """A part of somebody's tokens, oldest first."""

    tokens: list[TokenRow]


class SessionsEnded(BaseModel):
    """How many sessions there were."""

    ended: int = Field(ge=0, examples=[2])


@router.put("/me/password", status_code=204, responses=REFUSED)
def set_password(studio: Services, person: Member, wanted: PasswordChange, request: Request) -> None:
    """Change one's own password. All sessions end; tokens go on. 401 when the old one is wrong."""
    _own_account(studio, person)
    if studio.door.check(person.name, wanted.old, proof_of(request).address) is None:
        raise NotSignedIn("That is not the password until now; nothing was changed.")
    studio.accounts.change_user(person.name, password=wanted.new)


@router.delete("/me/sessions", responses=REFUSED)
def end_my_sessions(studio: Services, person: Member) -> SessionsEnded:
    """Sign out everywhere, this browser included."""
    _own_account(studio, person)
    return SessionsEnded(ended=studio.accounts.end_sessions(person.name))


@router.get("/me/tokens", responses=REFUSED)
def my_tokens(studio: Services, person: Person, wanted: Annotated[Paging, Query()]) -> TokenList:
    """The caller's tokens."""
    return _tokens(studio, person.name, wanted)


@router.post("/me/tokens", status_code=201, responses=REFUSED)
def make_token(studio: Services, person: Member, wanted: NewToken) -> TokenMade:
    """A new token of the caller's. Its text is shown this once. A token cannot make tokens."""
    if person.means == "token":
        raise NotAllowed("A token cannot make tokens; sign in with name and password.")
    _own_account(studio, person)
    return _make_token(studio, person.name, wanted)


@router.delete("/me/tokens/{token_id}", status_code=204, responses=REFUSED)
def drop_token(studio: Services, person: Member, token_id: str) -> None:
    """Take a token of the caller's away."""
    _drop_token(studio, person.name, token_id)


@router.get("/users", responses=REFUSED)
def users(studio: Services, admin: Admin, wanted: Annotated[Paging, Query()]) -> UserList:
    """All accounts."""
    return page_of(UserList, "users", studio.accounts.users(), wanted)


@router.post("/users", status_code=201, responses=REFUSED)
def make_user(studio: Services, admin: Admin, wanted: NewUser) -> UserRow:
    """A new account. The first one has to be an admin's; from then on everybody has to sign in."""
    made = studio.accounts.add_user(
        wanted.name, wanted.password, role=wanted.role, tier=wanted.tier, inherit=wanted.inherit
    )
    return UserRow.model_validate(made)


@router.get("/users/{name}", responses=REFUSED)
def get_user(studio: Services, admin: Admin, name: Name) -> UserRow:
    """One account."""
    return UserRow.model_validate(known(studio, name))


@router.patch("/users/{name}", responses=REFUSED)
def change_user(studio: Services, admin: Admin, name: Name, change: UserChange) -> UserRow:
    """Change an account. A new password and `disabled` end its sessions."""
    given: dict[str, Any] = change.model_dump(exclude_none=True)
    return UserRow.model_validate(studio.accounts.change_user(known(studio, name).name, **given))


@router.delete("/users/{name}", status_code=204, responses=REFUSED)
def drop_user(studio: Services, admin: Admin, name: Name) -> None:
    """Take an account away; jobs, pictures and ledger stay under its name."""
    studio.accounts.remove_user(known(studio, name).name)


@router.delete("/users/{name}/sessions", responses=REFUSED)
def end_sessions(studio: Services, admin: Admin, name: Name) -> SessionsEnded:
    """Sign somebody out everywhere."""
    return SessionsEnded(ended=studio.accounts.end_sessions(known(studio, name).name))


@router.get("/users/{name}/tokens", responses=REFUSED)
def tokens_of(studio: Services, admin: Admin, name: Name, wanted: Annotated[Paging, Query()]) -> TokenList:
    """Somebody's tokens."""
    return _tokens(studio, known(studio, name).name, wanted)


@router.post("/users/{name}/tokens", status_code=201, responses=REFUSED)
def make_token_for(studio: Services, admin: Admin, name: Name, wanted: NewToken) -> TokenMade:
    """A new token of somebody's, as for a program without a person. Its text is shown this once."""
    if admin.means == "token":
        raise NotAllowed("A token cannot make tokens; sign in with name and password.")
    return _make_token(studio, known(studio, name).name, wanted)


@router.delete("/users/{name}/tokens/{token_id}", status_code=204, responses=REFUSED)
def drop_token_of(studio: Services, admin: Admin, name: Name, token_id: str) -> None:
    """Take a token of somebody's away."""
    _drop_token(studio, known(studio, name).name, token_id)


def known(studio: Studio, name: str) -> Any:
    """The account of that name. Raises `UnknownName` when there is none."""
    user = studio.accounts.user(name)
    if user is None:
        raise UnknownName(f"There is no user {name[:64]!r}.")
    return user


def _own_account(studio: Studio, person: Caller) -> None:
    """Raises `NotAllowed` for who comes in without an account, as `local` or by --api-auth."""
    if studio.accounts.user(person.name) is None:
        raise NotAllowed(f"{person.name} has no account here, so there is nothing of the kind to change.")


def _tokens(studio: Studio, name: str, wanted: Paging) -> TokenList:
    return page_of(TokenList, "tokens", studio.accounts.tokens(name), wanted)


def _make_token(studio: Studio, name: str, wanted: NewToken) -> TokenMade:
    token, text = studio.accounts.add_token(name, wanted.label, days=wanted.days)
    return TokenMade(**asdict(token), text=text)


def _drop_token(studio: Studio, name: str, token_id: str) -> None:
    if not studio.accounts.remove_token(token_id, user=name):
        raise UnknownName(f"There is no token {token_id[:64]!r} of {name}.")
