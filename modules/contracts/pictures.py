"""Finished pictures as the fronts see them; `modules.outputs` keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from modules.contracts.request import OutputParams
from modules.contracts.result import Picture

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""No settings of one's own."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What its owner did with a picture."""

    favourite: bool = False
    binned: datetime | None = None
    """Since when it is in the bin, from which it can be taken back; None for a picture that is not."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One row of the gallery. The id is opaque; no path ever leaves the store."""

    id: str
    job_id: str
    index: int
    owner: str
    created: datetime
    width: int
    height: int
    media_type: str
    infotext: str
    recipe: Mapping[str, Any]
    name: str
    """File name for a download, without folders."""
    marks: Marks = Marks()


@dataclass(frozen=True, slots=True)
class PictureFilter:
    """Which pictures of a gallery; what is None or empty narrows nothing."""

    owner: str | None = None
    job_id: str | None = None
    text: str = ""
    """Words that prompt or parameters hold, each of two letters or more as the beginning of a word."""
    model: str | None = None
    sampler: str | None = None
    moves: bool | None = None
    """Films in MP4, or all others."""
    size: tuple[int | None, int | None] = (None, None)
    """Width and height in pixels."""
    favourite: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Created before."""
    binned: bool = False
    """Those in the bin in place of the others."""


@dataclass(frozen=True, slots=True)
class PicturePage:
    """A part of a gallery, newest first."""

    pictures: Sequence[StoredPicture]
    total: int
    """How many the filter finds altogether."""
    beginning: int
    """`after` with which this very page is found again, whatever is drawn meanwhile; 0 for an empty page."""
    following: int | None
    """`after` of the next page; None on the last."""


@dataclass(frozen=True, slots=True)
class PictureFacets:
    """What a gallery can be narrowed by, each with the number of pictures, the most frequent first."""

    models: Sequence[tuple[str, int]]
    samplers: Sequence[tuple[str, int]]
    sizes: Sequence[tuple[int, int, int]]
    """Width, height, number."""
    films: int
    favourites: int
    binned: int


class PictureStore(Protocol):
    """Keeps pictures and finds them again."""

    def save(
        self, picture: Picture, *, job_id: str, owner: str, output: OutputParams, own: Mapping[str, Any] = NOTHING
    ) -> StoredPicture:
        """Write the file atomically and the row with it. Saving the same job and index again gives the first row.

        `own` are settings that hold for this picture in place of everybody's.
        """

    def get(self, picture_id: str) -> StoredPicture | None:
        """The row of that id."""

    def read(self, picture_id: str) -> bytes | None:
        """The encoded file."""

    def thumbnail(self, picture_id: str, side: int) -> bytes | None:
        """The picture as WebP, its longest side at most `side` pixels; made once. None when there is no picture."""

    def list(
        self, *, owner: str | None = None, job_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> Sequence[StoredPicture]:
        """Rows, newest first. Those in the bin are left out, unless it is one job's pictures that are asked for."""

    def search(self, wanted: PictureFilter, *, limit: int = 100, after: int = 0, skip: int = 0) -> PicturePage:
        """The rows of the filter, newest first, that are older than the mark `after`, without the first `skip`."""

    def facets(self, owner: str | None = None) -> PictureFacets:
        """What the pictures of the owner, or of everybody, can be narrowed by; those in the bin are only counted."""

    def mark(self, ids: Sequence[str], *, favourite: bool | None = None, binned: bool | None = None) -> int:
        """Make pictures favourites or none, put them into the bin or take them out; None changes nothing.

        Returns how many of the ids there are. One that is in the bin already keeps its time.
        """

    def empty_bin(self, *, owner: str | None = None, before: datetime | None = None) -> int:
        """Delete what is in the bin, of the owner alone and since before that moment where given; how many.

        What is taken out of the bin meanwhile is kept, and what cannot be removed stays in it and stops nothing else.
        """

    def count(self, *, owner: str | None = None, job_id: str | None = None) -> int:
        """How many rows `list` has of that owner and job."""

    def delete(self, picture_id: str) -> bool:
        """Remove file and row; False when there is none."""
