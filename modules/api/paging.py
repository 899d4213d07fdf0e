"""Lists that come page by page, all in the same words: `limit`, `after`, and in the answer `following` and `total`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, Field

from modules.contracts.errors import InvalidRequest

LARGEST = 2**31 - 1
Row = TypeVar("Row")
Whole = TypeVar("Whole", bound="Page")


class Paging(BaseModel):
    """Which part of a list."""

    limit: int = Field(100, ge=1, le=1000)
    after: int = Field(0, ge=0, le=LARGEST, description="`following` of the page before.")


class Page(BaseModel):
    """What every page says of itself."""

    following: int | None = Field(description="`after` of the next page; null on the last.", examples=[None])
    total: int = Field(description="How many there are on all pages together.", examples=[1])


def cut(rows: Sequence[Row], wanted: Paging) -> tuple[list[Row], int | None]:
    """The rows of that page, and where the next one begins, or None when there is none."""
    end = wanted.after + wanted.limit
    return list(rows[wanted.after : end]), end if end < len(rows) else None


def page_of(kind: type[Whole], name: str, rows: Sequence[object], wanted: Paging) -> Whole:
    """That part of a whole list, its rows under `name`."""
    page, following = cut(rows, wanted)
    return kind.model_validate({name: page, "following": following, "total": len(rows)}, from_attributes=True)


def matches(text: str, *places: str | None) -> bool:
    """Whether a text to look for stands in one of the places, case aside; an empty one stands everywhere."""
    return any(text.casefold() in place.casefold() for place in places if place is not None)


def one_of(name: str, wanted: str | None, known: Sequence[str]) -> None:
    """Raises `InvalidRequest`, which lists the known ones, when something else was asked for; None asks for nothing."""
    if wanted is not None and wanted not in known:
        raise InvalidRequest(f"{name} is {wanted[:64]!r}; known are {', '.join(known)}.")
