"""`/api/v1/extensions/install` and its kin: bringing extensions in, changing them and taking them out.

Whoever may do that may have the studio carry out anything. So it takes an admin who has signed in: being on this
machine, which makes everybody an admin as long as there are no accounts, is not enough, because a page of any other
site is on this machine, too. At the terminal it needs neither.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from modules.api.extensions import Name
from modules.api.jobs import REFUSED
from modules.api.services import Admin, Services
from modules.contracts.accounts import Caller
from modules.contracts.errors import InvalidRequest, NotAllowed
from modules.contracts.installing import NOT_UNKNOWN, Change, Source

router = APIRouter(prefix="/api/v1/extensions", tags=["extensions"])
LARGEST_ARCHIVE = 48 << 20
"""Characters of a zip file in base64."""
DryRun = Annotated[bool, Query(description="Say what would be different, and change nothing.", examples=[True])]


async def known_admin(caller: Admin) -> Caller:
    """Who calls. Raises `NotAllowed` unless they are an admin who has shown who they are."""
    if caller.means == "local":
        raise NotAllowed(NOT_UNKNOWN)
    return caller


KnownAdmin = Annotated[Caller, Depends(known_admin)]


class ExtensionSource(BaseModel):
    """Where an extension comes from: an address or a zip file."""

    model_config = ConfigDict(extra="forbid")
    address: str = Field(
        "",
        max_length=500,
        description="A git repository, https or ssh.",
        examples=["https://git.example/people/haze.git"],
    )
    commit: str = Field(
        "",
        max_length=200,
        description="Commit, branch or tag of the repository; empty is its default branch.",
        examples=["v1.2"],
    )
    follow: str | None = Field(
        None,
        max_length=200,
        description="Branch or tag that updates take, empty for the default branch, where `commit` is what a dry run"
        " named; null is `commit` itself.",
        examples=["main"],
    )
    archive: str = Field("", max_length=LARGEST_ARCHIVE, description="A zip file in base64.", examples=[""])
    name: str = Field("", max_length=64, description="What it is to be called; empty is as its source says.")
    dry_run: bool = Field(False, description="Say what would be different, and change nothing.", examples=[True])


class PackageRow(BaseModel):
    """A library that extensions need."""

    model_config = ConfigDict(from_attributes=True)
    name: str = Field(examples=["dynamicprompts"])
    before: str | None = Field(description="The version that there was.", examples=[None])
    after: str | None = Field(description="The version that there will be.", examples=["0.31.0"])


class ExtensionChange(BaseModel):
    """What was, or would be, different."""

    model_config = ConfigDict(from_attributes=True)
    action: Literal["install", "update", "remove", "rollback"] = Field(examples=["install"])
    name: str = Field(examples=["haze"])
    done: bool = Field(description="False for a dry run.", examples=[False])
    source: str = Field(examples=["https://git.example/people/haze.git"])
    commit: str = Field(description="The commit that was taken, in full.", examples=["9f" * 20])
    files: int = Field(examples=[12])
    bytes: int = Field(examples=[40_960])
    requirements: list[str] = Field(description="What its files ask for.", examples=[["dynamicprompts>=0.30"]])
    packages: list[PackageRow] = Field(description="Libraries that are added, changed or dropped; never the studio's.")
    runs: list[str] = Field(
        description="Files of it that are carried out by themselves, outside of jobs.", examples=[["install.py"]]
    )
    notes: list[str] = Field(examples=[[]])


class InstalledExtension(BaseModel):
    """An extension that was brought in, and from where."""

    model_config = ConfigDict(from_attributes=True)
    name: str = Field(examples=["haze"])
    kind: Literal["folder", "archive", "address"] = Field(description="What it came out of.", examples=["address"])
    address: str = Field(description="Of its repository.", examples=["https://git.example/people/haze.git"])
    commit: str = Field(description="Its commit, in full.", examples=["9f" * 20])
    requirements: list[str] = Field(description="Libraries it asks for.", examples=[["dynamicprompts>=0.30"]])


def _told(change: Change) -> ExtensionChange:
    return ExtensionChange.model_validate(change)


@router.get("/sources", responses=REFUSED)
def list_installed_extensions(studio: Services, admin: Admin) -> list[InstalledExtension]:
    """Extensions that were brought in, with their commits; folders laid down by hand are not among them. For admins."""
    return [InstalledExtension.model_validate(one) for one in studio.installer.installed()]


@router.post("/install", responses=REFUSED)
def install_extension(wanted: ExtensionSource, studio: Services, admin: KnownAdmin) -> ExtensionChange:
    """Bring an extension in, with the libraries that it needs; `dry_run` first says which. For admins who signed in."""
    try:
        archive = base64.b64decode(wanted.archive, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("archive is no base64.") from error
    source = Source(
        archive=archive, address=wanted.address, commit=wanted.commit, follow=wanted.follow, name=wanted.name
    )
    return _told(studio.installer.install(source, dry_run=wanted.dry_run))


@router.post("/rollback", responses=REFUSED)
def rollback_extensions(studio: Services, admin: KnownAdmin) -> ExtensionChange:
    """Undo the newest install, update or remove that is not undone. For admins who signed in."""
    return _told(studio.installer.rollback())


@router.post("/{name}/update", responses=REFUSED)
def update_extension(name: Name, studio: Services, admin: KnownAdmin, dry_run: DryRun = False) -> ExtensionChange:
    """Fetch an extension again from where it came. For admins who signed in."""
    return _told(studio.installer.update(name, dry_run=dry_run))


@router.delete("/{name}", responses=REFUSED)
def remove_extension(name: Name, studio: Services, admin: KnownAdmin, dry_run: DryRun = False) -> ExtensionChange:
    """Take an extension out; `rollback` brings it back. For admins who signed in."""
    return _told(studio.installer.remove(name, dry_run=dry_run))
