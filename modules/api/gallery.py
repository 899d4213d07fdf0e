"""`/api/v1/pictures`, what is done with many at once: favourites, the bin, and what a gallery can be narrowed by."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from modules.api.access import owner_wanted, picture_of
from modules.api.job_rows import PictureRow, picture_row
from modules.api.jobs import CLEAN, REFUSED
from modules.api.pictures import MOST_IN_ARCHIVE, PictureId
from modules.api.services import Member, Person, Services

router = APIRouter(prefix="/api/v1/pictures", tags=["pictures"])
MOST_MARKED = MOST_IN_ARCHIVE


class PictureMarks(BaseModel):
    """What to change about pictures; null leaves it as it is."""

    model_config = ConfigDict(extra="forbid")
    favourite: bool | None = None
    binned: bool | None = Field(
        None, description="Into the bin, where lists do not show it and it is deleted after a time; or out of it."
    )


class ManyPictureMarks(PictureMarks):
    """The same for several."""

    ids: list[PictureId] = Field(min_length=1, max_length=MOST_MARKED)


class Counted(BaseModel):
    """How many pictures it was."""

    pictures: int = Field(examples=[1])


class GalleryOwner(BaseModel):
    """Whose gallery."""

    owner: str | None = Field(None, max_length=64, pattern=CLEAN, description="For admins: a name, or * for everybody.")


class FacetRow(BaseModel):
    """One word to narrow by."""

    name: str = Field(examples=["pocket"])
    pictures: int = Field(examples=[1])


class SizeRow(BaseModel):
    """One size to narrow by, in pixels."""

    width: int
    height: int
    pictures: int = Field(examples=[1])


class GalleryFacets(BaseModel):
    """What a gallery can be narrowed by, the most frequent first."""

    models: list[FacetRow]
    samplers: list[FacetRow]
    sizes: list[SizeRow]
    films: int = Field(examples=[0])
    favourites: int = Field(examples=[1])
    binned: int = Field(description="Pictures in the bin.", examples=[0])


@router.get("/facets", responses=REFUSED)
def gallery_facets(studio: Services, person: Person, wanted: Annotated[GalleryOwner, Query()]) -> GalleryFacets:
    """Models, samplers and sizes of the caller's pictures, and how many of each there are."""
    found = studio.pictures.facets(owner_wanted(person, wanted.owner))
    return GalleryFacets(
        models=[FacetRow(name=name, pictures=number) for name, number in found.models],
        samplers=[FacetRow(name=name, pictures=number) for name, number in found.samplers],
        sizes=[SizeRow(width=wide, height=high, pictures=number) for wide, high, number in found.sizes],
        films=found.films,
        favourites=found.favourites,
        binned=found.binned,
    )


@router.patch("", responses=REFUSED)
def mark_pictures(studio: Services, person: Member, wanted: ManyPictureMarks) -> Counted:
    """Favourites or none, into the bin or out of it, all or none of them. Not for guests."""
    ids = [picture_of(studio, person, name).id for name in dict.fromkeys(wanted.ids)]
    return Counted(pictures=studio.pictures.mark(ids, favourite=wanted.favourite, binned=wanted.binned))


@router.patch("/{picture_id}", responses=REFUSED)
def mark_picture(studio: Services, person: Member, picture_id: str, wanted: PictureMarks) -> PictureRow:
    """The same for one picture. Not for guests."""
    row = picture_of(studio, person, picture_id)
    studio.pictures.mark([row.id], favourite=wanted.favourite, binned=wanted.binned)
    return picture_row(picture_of(studio, person, picture_id))


@router.post("/bin/empty", responses=REFUSED)
def empty_bin(studio: Services, person: Member, wanted: Annotated[GalleryOwner, Query()]) -> Counted:
    """Delete what is in the caller's bin, for good. Not for guests."""
    return Counted(pictures=studio.pictures.empty_bin(owner=owner_wanted(person, wanted.owner)))
