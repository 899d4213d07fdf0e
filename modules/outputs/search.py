"""Finding pictures among very many: every list is cut by an index, and only the rows of one page are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, column, func, literal_column, select, table

from modules.contracts.pictures import PictureFacets, PictureFilter
from modules.outputs.tables import PICTURES, WORDS, listed

COLUMNS = PICTURES.c
FILM = "mp4"
MOST_WORDS = 32
MOST_CHOICES = 200
"""Models, samplers and sizes that are offered; the rarest beyond are found by words."""
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts that put no space between words: the index takes their whole sentences for one."""


def conditions(wanted: PictureFilter, *, indexed: bool) -> Iterator[ColumnElement[bool]]:
    """What finished rows have to fulfil. `indexed` says that there is an index of words."""
    yield COLUMNS.ready
    yield COLUMNS.binned.is_not(None) if wanted.binned else COLUMNS.binned.is_(None)
    for name in ("owner", "job_id", "favourite"):
        value = getattr(wanted, name)
        if value is not None:
            yield COLUMNS[name] == value
    for name in ("model", "sampler"):
        said = getattr(wanted, name)
        if said is not None:
            yield COLUMNS[name] == listed(said)
    for edge, side in zip((COLUMNS.width, COLUMNS.height), wanted.size, strict=True):
        if side is not None:
            yield edge == side
    if wanted.moves is not None:
        yield COLUMNS.format == FILM if wanted.moves else COLUMNS.format != FILM
    if wanted.since is not None:
        yield COLUMNS.created >= wanted.since.timestamp()
    if wanted.until is not None:
        yield COLUMNS.created < wanted.until.timestamp()
    yield from _worded(wanted.text, indexed=indexed)


def _worded(text: str, *, indexed: bool) -> Iterator[ColumnElement[bool]]:
    """Every word is somewhere in the infotext: at the beginning of a word by the index, else anywhere."""
    words = [word for word in text.split()[:MOST_WORDS] if any(mark.isalnum() for mark in word)]
    begun = [word for word in words if indexed and not UNSPACED.search(word)]
    if begun:
        # One letter begins a tenth of all words there are: it stands for itself alone.
        phrases = " AND ".join('"' + word.replace('"', " ") + ('" *' if len(word) > 1 else '"') for word in begun)
        found: Select[Any] = (
            select(column("rowid")).select_from(table(WORDS)).where(literal_column(WORDS).op("MATCH")(phrases))
        )
        yield COLUMNS.number.in_(found)
    for word in words:
        if word not in begun:
            yield COLUMNS.infotext.icontains(word, autoescape=True)


def page(
    connection: Connection, tests: list[ColumnElement[bool]], *, limit: int, after: int, skip: int
) -> list[Row[Any]]:
    """The rows of one page and, where there is one, the first of the next."""
    if after:
        tests = [*tests, COLUMNS.number < after]
    numbers = select(COLUMNS.number).where(*tests).order_by(COLUMNS.number.desc()).limit(limit + 1).offset(skip)
    query = select(PICTURES).where(COLUMNS.number.in_(numbers)).order_by(COLUMNS.number.desc())
    return list(connection.execute(query))


def facets(connection: Connection, owner: str | None) -> PictureFacets:
    """What there is to narrow by, counted."""
    shown = list(conditions(PictureFilter(owner=owner), indexed=False))

    def by(*columns: Any) -> list[Any]:
        number = func.count().label("pictures")
        query = select(*columns, number).where(*shown).group_by(*columns)
        found = connection.execute(query.order_by(number.desc(), *columns).limit(MOST_CHOICES))
        return [tuple(row) for row in found if row[0] != ""]

    def number(*tests: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).select_from(PICTURES).where(*tests)).scalar_one())

    return PictureFacets(
        models=by(COLUMNS.model),
        samplers=by(COLUMNS.sampler),
        sizes=by(COLUMNS.width, COLUMNS.height),
        films=number(*shown, COLUMNS.format == FILM),
        favourites=number(*shown, COLUMNS.favourite),
        binned=number(*conditions(PictureFilter(owner=owner, binned=True), indexed=False)),
    )
