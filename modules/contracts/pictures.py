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
        """Rows, newest first."""

    def count(self, *, owner: str | None = None, job_id: str | None = None) -> int:
        """How many rows there are of that owner and job."""

    def delete(self, picture_id: str) -> bool:
        """Remove file and row; False when there is none."""
