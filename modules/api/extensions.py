"""`/api/v1/extensions`: what is loaded, with its state and its failures; switching on and off; their own addresses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from modules.api.jobs import REFUSED
from modules.api.services import Admin, Member, Services
from modules.contracts.errors import InvalidRequest
from modules.contracts.scripts import ExtensionEntry

router = APIRouter(prefix="/api/v1/extensions", tags=["extensions"])
Name = Annotated[str, Path(max_length=200, description="Name of an extension.", examples=["haze"])]
Address = Annotated[str, Path(max_length=200, description="One of the extension's own addresses.", examples=["look"])]
LARGEST_BODY = 1 << 20
"""Bytes of a body for an extension's own address."""


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ExtensionScript(_Row):
    """A script of an extension."""

    title: str = Field(examples=["Haze"])
    where: str = Field(examples=["both"])
    always_on: bool = Field(description="Takes part in every job; otherwise it owns the run.", examples=[True])


class ExtensionRow(_Row):
    """An extension."""

    name: str = Field(examples=["haze"])
    state: Literal["on", "off", "failed", "stopped"] = Field(
        description="`failed` could not be loaded, `stopped` failed in three jobs in a row.", examples=["on"]
    )
    scripts: list[ExtensionScript]
    seconds: float = Field(description="What loading it took.", examples=[0.02])
    bytes: int = Field(description="What the process grew by meanwhile.", examples=[126_976])
    error: str = Field(description="What went wrong last; empty where nothing did.", examples=[""])
    trace: str = Field(description="The traceback of that.", examples=[""])
    settings: dict[str, Any] = Field(description="Values of its settings.", examples=[{"strength": 0.5}])


class ExtensionList(BaseModel):
    """All extensions, in the order in which they take part."""

    safe_mode: bool = Field(description="Nothing is loaded, because the start said so.", examples=[False])
    notices: list[str] = Field(examples=[["mist failed in 3 jobs in a row and was switched off."]])
    extensions: list[ExtensionRow]


class ExtensionSettings(BaseModel):
    """Settings of an extension that are to change."""

    values: dict[str, Any] = Field(default_factory=dict, examples=[{}])


def _row(entry: ExtensionEntry) -> ExtensionRow:
    return ExtensionRow.model_validate(entry)


@router.get("", responses=REFUSED)
def list_extensions(studio: Services, admin: Admin) -> ExtensionList:
    """What there is, with its state, what loading took, and what went wrong last. For admins."""
    scripts = studio.scripts
    rows = [_row(entry) for entry in scripts.entries()]
    return ExtensionList(safe_mode=scripts.safe, notices=list(scripts.notices), extensions=rows)


@router.post("/refresh", responses=REFUSED)
def refresh_extensions(studio: Services, admin: Admin) -> ExtensionList:
    """Look for extensions anew: those that are new are loaded, those that are gone let go of. For admins."""
    studio.scripts.refresh()
    return list_extensions(studio, admin)


@router.post("/{name}/enable", responses=REFUSED)
def enable_extension(name: Name, studio: Services, admin: Admin) -> ExtensionRow:
    """Switch an extension on, now and at later starts; also one that was stopped for its failures. For admins."""
    return _row(studio.scripts.switch(name, "enable"))


@router.post("/{name}/disable", responses=REFUSED)
def disable_extension(name: Name, studio: Services, admin: Admin) -> ExtensionRow:
    """Switch an extension off, now and at later starts; jobs that run keep what they began with. For admins."""
    return _row(studio.scripts.switch(name, "disable"))


@router.post("/{name}/reload", responses=REFUSED)
def reload_extension(name: Name, studio: Services, admin: Admin) -> ExtensionRow:
    """Read the extension's files again. For admins."""
    return _row(studio.scripts.switch(name, "reload"))


@router.put("/{name}/settings", responses=REFUSED)
def configure_extension(name: Name, wanted: ExtensionSettings, studio: Services, admin: Admin) -> ExtensionRow:
    """Change settings of an extension, all or none. For admins."""
    return _row(studio.scripts.configure(name, wanted.values))


@router.get("/{name}/routes/{address:path}", responses=REFUSED)
async def ask_extension(name: Name, address: Address, request: Request, studio: Services, caller: Member) -> Any:
    """Ask an extension's own address; it gets the values of the query."""
    given = dict(request.query_params)
    return await run_in_threadpool(studio.scripts.answer, name, "GET", address, given, admin=caller.is_admin)


@router.post("/{name}/routes/{address:path}", responses=REFUSED)
async def tell_extension(name: Name, address: Address, request: Request, studio: Services, caller: Member) -> Any:
    """Tell an extension's own address something; it gets the values of the query and the fields of a JSON body."""
    given: dict[str, Any] = dict(request.query_params)
    body = await request.body()
    if len(body) > LARGEST_BODY:
        raise InvalidRequest(f"The body has {len(body)} bytes; {LARGEST_BODY} are allowed for an extension.")
    if body:
        try:
            fields = await request.json()
        except ValueError as error:
            raise InvalidRequest("The body is no JSON.") from error
        if not isinstance(fields, dict):
            raise InvalidRequest("The body has to be an object.")
        given |= fields
    return await run_in_threadpool(studio.scripts.answer, name, "POST", address, given, admin=caller.is_admin)
