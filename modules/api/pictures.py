"""`/api/v1/pictures`: the gallery, by opaque id. Nothing a client sends names a file, and no answer names a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from modules.api.access import ID_LENGTH, owner_wanted, picture_of
from modules.api.archive import Archive
from modules.api.infotext import parameters_of
from modules.api.job_rows import PictureRow, picture_row
from modules.api.jobs import CLEAN, REFUSED
from modules.api.paging import LARGEST, Page, Paging
from modules.api.services import Member, Person, Services
from modules.contracts.errors import UnknownName
from modules.contracts.pictures import PictureFilter, StoredPicture
from modules.support.studio import Studio

router = APIRouter(prefix="/api/v1/pictures", tags=["pictures"])
TYPES = ("image/png", "image/jpeg", "image/webp", "image/avif", "video/mp4")
"""Types that a picture may be served under; what the gallery holds is always one of them."""
MOST_IN_ARCHIVE = 1000
FOREVER = "private, max-age=31536000, immutable"
"""A picture never changes under its id; only its owner's own browser may keep it."""
FILE: dict[int | str, dict[str, Any]] = {
    **REFUSED,
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES}},
}
SMALL = REFUSED | {200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}}}
ZIPPED = REFUSED | {200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}}
PictureId = Annotated[str, StringConstraints(min_length=1, max_length=ID_LENGTH)]


class PicturesWanted(Paging):
    """Which pictures to list. What is left out narrows nothing."""

    skip: int = Field(0, ge=0, le=LARGEST, description="Rows to leave out at the beginning, to reach the middle.")
    text: str = Field("", max_length=1000, pattern=CLEAN, description="Beginnings of words in prompt and parameters.")
    model: str | None = Field(None, max_length=500, pattern=CLEAN, description="As the infotext names it.")
    sampler: str | None = Field(None, max_length=500, pattern=CLEAN)
    kind: Literal["still", "film"] | None = Field(None, description="Films in MP4, or all others.")
    width: int | None = Field(None, ge=1, le=LARGEST)
    height: int | None = Field(None, ge=1, le=LARGEST)
    favourite: bool | None = None
    binned: bool = Field(False, description="What is in the bin, in place of all else.")
    since: AwareDatetime | None = Field(None, description="Created then or later, with a time zone.")
    until: AwareDatetime | None = Field(None, description="Created before.")
    job_id: str | None = Field(None, max_length=ID_LENGTH, pattern=CLEAN)
    owner: str | None = Field(None, max_length=64, pattern=CLEAN, description="For admins: a name, or * for everybody.")

    def narrowed(self, owner: str | None) -> PictureFilter:
        """The same for the gallery of that owner, or of everybody."""
        return PictureFilter(
            owner=owner,
            job_id=self.job_id,
            text=self.text,
            model=self.model,
            sampler=self.sampler,
            moves=None if self.kind is None else self.kind == "film",
            size=(self.width, self.height),
            favourite=self.favourite,
            since=self.since,
            until=self.until,
            binned=self.binned,
        )


class PictureList(Page):
    """A page of the gallery, newest first."""

    pictures: list[PictureRow]
    beginning: int = Field(
        description="`after` that finds this very page again, whatever is drawn meanwhile; 0 for an empty page.",
        examples=[1],
    )


class RecipeRow(BaseModel):
    """Everything that is needed to draw a picture again."""

    recipe: dict[str, Any]


class InfotextRow(BaseModel):
    """A1111's text, and the same taken apart."""

    infotext: str
    parameters: dict[str, str]


class ArchiveWanted(BaseModel):
    """Which pictures to pack."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["4kq1Zt0x8bPq7w2a"]}]})
    ids: list[PictureId] = Field(min_length=1, max_length=MOST_IN_ARCHIVE)


@router.get("", responses=REFUSED)
def list_pictures(studio: Services, person: Person, wanted: Annotated[PicturesWanted, Query()]) -> PictureList:
    """The caller's pictures, newest first, page by page. What is drawn meanwhile shifts none of them."""
    which = wanted.narrowed(owner_wanted(person, wanted.owner))
    found = studio.pictures.search(which, limit=wanted.limit, after=wanted.after, skip=wanted.skip)
    shown = [picture_row(row) for row in found.pictures]
    return PictureList(pictures=shown, beginning=found.beginning, following=found.following, total=found.total)


@router.post("/zip", response_class=StreamingResponse, responses=ZIPPED)
async def pack_pictures(studio: Services, person: Person, wanted: ArchiveWanted) -> StreamingResponse:
    """Several pictures as one ZIP, sent while it is packed. All or none: one that is not yours answers 403."""
    rows = await asyncio.to_thread(lambda: [picture_of(studio, person, name) for name in dict.fromkeys(wanted.ids)])
    headers = {"Content-Disposition": 'attachment; filename="pictures.zip"'}
    return StreamingResponse(packed(studio, rows), media_type="application/zip", headers=headers)


@router.get("/{picture_id}", responses=REFUSED)
def get_picture(studio: Services, person: Person, picture_id: str) -> PictureRow:
    """What there is to know of one picture."""
    return picture_row(picture_of(studio, person, picture_id))


@router.get("/{picture_id}/file", response_class=Response, responses=FILE)
def get_file(studio: Services, person: Person, picture_id: str, download: bool = False) -> Response:
    """The picture itself. With `download` a browser keeps it under its name rather than showing it."""
    row = picture_of(studio, person, picture_id)
    data = studio.pictures.read(row.id)
    if data is None or row.media_type not in TYPES:
        raise UnknownName("The file of that picture is gone.")
    shown = "attachment" if download else "inline"
    headers = {"Content-Disposition": f"{shown}; filename*=UTF-8''{quote(row.name, safe='')}", "Cache-Control": FOREVER}
    return Response(data, media_type=row.media_type, headers=headers)


@router.get("/{picture_id}/thumbnail", response_class=Response, responses=SMALL)
def get_thumbnail(
    studio: Services, person: Person, picture_id: str, side: Annotated[int, Query(ge=64, le=2048)] = 256
) -> Response:
    """The picture as WebP, its longest side at most that many pixels."""
    row = picture_of(studio, person, picture_id)
    data = studio.pictures.thumbnail(row.id, side)
    if data is None:
        raise UnknownName("The file of that picture is gone.")
    return Response(data, media_type="image/webp", headers={"Cache-Control": FOREVER})


@router.get("/{picture_id}/recipe", responses=REFUSED)
def get_recipe(studio: Services, person: Person, picture_id: str) -> RecipeRow:
    """Everything that is needed to draw it again."""
    return RecipeRow(recipe=dict(picture_of(studio, person, picture_id).recipe))


@router.get("/{picture_id}/infotext", responses=REFUSED)
def get_infotext(studio: Services, person: Person, picture_id: str) -> InfotextRow:
    """A1111's text, and the same taken apart."""
    text = picture_of(studio, person, picture_id).infotext
    return InfotextRow(infotext=text, parameters=parameters_of(text, studio.scripts))


@router.delete("/{picture_id}", status_code=204, responses=REFUSED)
def delete_picture(studio: Services, person: Member, picture_id: str) -> None:
    """Remove a picture and all that was made from it."""
    studio.pictures.delete(picture_of(studio, person, picture_id).id)


async def packed(studio: Studio, rows: list[StoredPicture]) -> AsyncIterator[bytes]:
    """The archive piece by piece; no more than one picture is in memory. One whose file is gone is left out."""
    archive = Archive()
    for place, row in enumerate(rows):
        data = await asyncio.to_thread(studio.pictures.read, row.id)
        if data is not None:
            yield archive.add(f"{place:04d}-{row.name}", data, row.created)
    yield archive.end()
