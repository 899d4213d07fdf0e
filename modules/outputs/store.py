"""The gallery: picture files in a folder per day, and a row for each in the database.

How a picture is saved, so that a crash at any point neither loses nor doubles one:

1. a row claims number and name (`ready` false), and an empty file takes the name on disk;
2. the encoded picture replaces the empty file in one step;
3. the row becomes ready, and is seen from then on.

Saving the same job and index again finds the row. If it is ready it is the answer; if not, steps 2 and 3 are done again
under the same name, and what the first try left is removed. `sweep` settles claims whose job never came back.
"""

from __future__ import annotations

import errno
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, func, insert, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite

from modules.contracts.infotext import parse
from modules.contracts.pictures import NOTHING, Marks, PictureFacets, PictureFilter, PicturePage, StoredPicture
from modules.contracts.request import OutputParams
from modules.contracts.result import Picture
from modules.outputs import search
from modules.outputs.metadata import ENDINGS, FILE, LOSSLESS, MEDIA_TYPES, check_format, encode, format_of
from modules.outputs.patterns import Naming, expand
from modules.outputs.tables import PICTURES, VERSION, WORDS, listed
from modules.outputs.thumbnails import Thumbnails
from modules.support.atomic import write_bytes, write_text
from modules.support.migration import migrate
from modules.support.settings import Settings

log = logging.getLogger(__name__)
STALE_SECONDS = 600.0
"""A claim this old belongs to no save that is still running."""
COLUMNS = PICTURES.c
SCRIPTS = Path(__file__).with_name("migrations")


class DiskPictureStore:
    """`PictureStore` over a folder and a database, SQLite or PostgreSQL. Safe from several threads and processes."""

    def __init__(self, engine: Engine, folder: Path, settings: Settings, *, cache: Path | None = None) -> None:
        """`engine` is opened by the composition root; its table is brought up to date. `cache` is for thumbnails."""
        self._engine = engine
        self._folder = folder
        self._settings = settings
        self._opened = time.time()
        self._thumbnails = Thumbnails(cache or folder.parent / "cache" / "thumbnails")
        migrate(engine, "pictures", SCRIPTS, head=VERSION, first_table="pictures")
        self._indexed = inspect(engine).has_table(WORDS)
        self.sweep()

    def save(
        self, picture: Picture, *, job_id: str, owner: str, output: OutputParams, own: Mapping[str, Any] = NOTHING
    ) -> StoredPicture:
        """Write the file atomically and the row with it. Saving the same job and index again gives the first row.

        `own` are settings that hold for this picture in place of everybody's: quality, name, text file.
        Raises `InvalidRequest` or `UnsupportedFeature` for the format, `OSError` when the disk does not take the file.
        """
        fmt = format_of(picture.content, output.format)
        check_format(fmt)
        settings = {**self._settings.public(), **own}
        if MEDIA_TYPES[fmt] != LOSSLESS:
            picture = replace(picture, recipe={**picture.recipe, FILE: {"quality": settings["jpeg_quality"]}})
        row = self._claim(picture, job_id, owner, fmt, str(settings["samples_filename_pattern"]))
        if row.ready:
            return _stored(row)
        recipe = json.loads(row.recipe)  # of an earlier try, perhaps, when settings were others
        quality = recipe.get(FILE, {}).get("quality", settings["jpeg_quality"])
        data = encode(picture.content, row.format, infotext=picture.infotext, recipe=recipe, quality=quality)
        path = self._path(row)
        if row.created < self._opened:
            _tidy(path)  # an earlier process died while it wrote this very picture
        write_bytes(path, data)
        if settings["save_txt"]:
            write_text(path.with_suffix(".txt"), picture.infotext + "\n")
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(PICTURES).where(COLUMNS.number == row.number).values(ready=True)
            ).rowcount
            if not changed:  # somebody swept the claim away while the disk was slow
                connection.execute(insert(PICTURES).values({**row._mapping, "ready": True}))
        return _stored(row)

    def get(self, picture_id: str) -> StoredPicture | None:
        """The row of that id."""
        row = self._find(picture_id)
        return None if row is None else _stored(row)

    def read(self, picture_id: str) -> bytes | None:
        """The encoded file; None when there is no such picture or somebody took its file away."""
        row = self._find(picture_id)
        if row is None:
            return None
        try:
            return self._path(row).read_bytes()
        except FileNotFoundError:
            return None

    def list(
        self, *, owner: str | None = None, job_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[StoredPicture]:
        """Rows, newest first. Those in the bin are left out, unless it is one job's pictures that are asked for."""
        query = select(PICTURES).where(*_which(owner, job_id)).order_by(COLUMNS.number.desc())
        with self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query.limit(limit).offset(offset))]

    def count(self, *, owner: str | None = None, job_id: str | None = None) -> int:
        """How many rows `list` has of that owner and job."""
        query = select(func.count()).select_from(PICTURES).where(*_which(owner, job_id))
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def search(self, wanted: PictureFilter, *, limit: int = 100, after: int = 0, skip: int = 0) -> PicturePage:
        """The rows of the filter, newest first, that are older than the mark `after`, without the first `skip`."""
        tests = list(search.conditions(wanted, indexed=self._indexed))
        total = select(func.count()).select_from(PICTURES).where(*tests)
        with self._engine.connect() as connection:
            found = search.page(connection, tests, limit=limit, after=after, skip=skip)
            number = int(connection.execute(total).scalar_one())
        rows = found[:limit]
        return PicturePage(
            pictures=[_stored(row) for row in rows],
            total=number,
            beginning=rows[0].number + 1 if rows else 0,
            following=rows[-1].number if len(found) > limit else None,
        )

    def facets(self, owner: str | None = None) -> PictureFacets:
        """What the pictures of the owner, or of everybody, can be narrowed by; those in the bin are only counted."""
        with self._engine.connect() as connection:
            return search.facets(connection, owner)

    def mark(self, ids: Sequence[str], *, favourite: bool | None = None, binned: bool | None = None) -> int:
        """Make pictures favourites or none, put them into the bin or take them out; None changes nothing.

        Returns how many of the ids there are. One that is in the bin already keeps its time.
        """
        values: dict[str, Any] = {} if favourite is None else {"favourite": favourite}
        if binned is not None:
            values["binned"] = func.coalesce(COLUMNS.binned, time.time()) if binned else None
        these = COLUMNS.id.in_(list(ids)) & COLUMNS.ready
        change = update(PICTURES).values(values) if values else select(PICTURES.c.number)
        with self._engine.begin() as connection:
            found = connection.execute(change.where(these))
            return found.rowcount if values else len(found.all())

    def empty_bin(self, *, owner: str | None = None, before: datetime | None = None) -> int:
        """Delete what is in the bin, of the owner alone and since before that moment where given; how many.

        What is taken out of the bin meanwhile is kept. A picture whose file cannot be removed stays in the bin and is
        told in the log; the others go all the same.
        """
        tests = list(search.conditions(PictureFilter(owner=owner, binned=True), indexed=False))
        if before is not None:
            tests.append(COLUMNS.binned < before.timestamp())
        with self._engine.connect() as connection:
            ids = list(connection.execute(select(COLUMNS.id).where(*tests)).scalars())
        return sum(self._empty_of(one, tests) for one in ids)

    def _empty_of(self, picture_id: str, tests: Sequence[ColumnElement[bool]]) -> bool:
        """Delete that picture where the tests hold for it still; False where they do not or its file will not go."""
        try:
            return self._remove(picture_id, *tests)
        except (OSError, ValueError) as error:  # of the disk, or a row that leads out of the folder
            log.warning("picture %s stays in the bin: %s", picture_id, error)
            return False

    def delete(self, picture_id: str) -> bool:
        """Remove file, text file, thumbnails and row; False when there is none.

        Raises `OSError` when the disk does not let the file go; the row stays then.
        """
        return self._remove(picture_id)

    def _remove(self, picture_id: str, *tests: ColumnElement[bool]) -> bool:
        """Delete a picture for which the tests hold, file and row together; False when there is no such.

        The row goes first and comes back when its file cannot be removed: from the one to the other the database lets
        nobody change it, so that no picture is put back whose file is about to go.
        """
        row = self._find(picture_id)
        if row is None:
            return False
        path = self._path(row)
        with self._engine.begin() as connection:
            if not connection.execute(delete(PICTURES).where(COLUMNS.number == row.number, *tests)).rowcount:
                return False
            path.unlink(missing_ok=True)
            path.with_suffix(".txt").unlink(missing_ok=True)
            self._thumbnails.forget(picture_id)
        return True

    def thumbnail(self, picture_id: str, side: int) -> bytes | None:
        """A WebP of at most `side` pixels along its longer edge, kept in the cache folder; None like `read`."""
        if self._find(picture_id) is None:
            return None
        cached = self._thumbnails.get(picture_id, side)
        if cached is not None:
            return cached
        data = self.read(picture_id)
        return None if data is None else self._thumbnails.make(picture_id, side, data)

    def sweep(self, ended: Callable[[str], bool] = lambda job_id: False) -> int:
        """Settle claims that no save works on any more; how many there were.

        Those are old ones, and those of jobs that have `ended`, by their ids. One whose picture was written becomes
        ready; one that has no name yet, or whose file is empty or gone, is removed with it.
        """
        early = time.time() - STALE_SECONDS
        with self._engine.connect() as connection:
            open_claims = list(connection.execute(select(PICTURES).where(~COLUMNS.ready)))
        rows = [row for row in open_claims if row.created < early or ended(row.job_id)]
        for row in rows:
            whole = bool(row.name) and self._settle(self._path(row))
            mine = (COLUMNS.number == row.number) & ~COLUMNS.ready
            with self._engine.begin() as connection:
                connection.execute(
                    update(PICTURES).where(mine).values(ready=True) if whole else delete(PICTURES).where(mine)
                )
        return len(rows)

    def _settle(self, path: Path) -> bool:
        """Whether a picture's file was written whole; what is left of one that was not is removed."""
        whole = path.is_file() and path.stat().st_size > 0
        _tidy(path)
        if not whole:
            path.unlink(missing_ok=True)
        return whole

    def _claim(self, picture: Picture, job_id: str, owner: str, fmt: str, pattern: str) -> Row[Any]:
        """The row of that job and index, made when there is none, with a name that no other picture has."""
        now, said = datetime.now(UTC), parse(picture.infotext, defaults=False)
        values = {
            # Hexadecimal: an id of the URL-safe alphabet may begin with "-", which the terminal takes for an option.
            "id": secrets.token_hex(12),
            "job_id": job_id,
            "position": picture.index,
            "owner": owner,
            "created": now.timestamp(),
            "width": picture.image.width,
            "height": picture.image.height,
            "format": fmt,
            "infotext": picture.infotext,
            "recipe": json.dumps(dict(picture.recipe), default=str),
            "folder": now.astimezone().strftime("%Y-%m-%d"),
            "name": "",
            "ready": False,
            "model": listed(said.get("Model", "")),
            "sampler": listed(said.get("Sampler", "")),
        }
        # The first statement writes, so that the transaction has SQLite's write lock before it reads anything.
        with self._engine.begin() as connection:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            connection.execute(dialect.insert(PICTURES).values(values).on_conflict_do_nothing())
            row = _one(connection, job_id, picture.index)
        if row.name:
            return row
        naming = Naming(picture, now.astimezone(), job_id, owner, row.number)
        return self._take_name(row, f"{row.number:05d}-{expand(pattern, naming)}", ENDINGS[fmt])

    def _take_name(self, row: Row[Any], stem: str, ending: str) -> Row[Any]:
        """The row with a name that is free, also from files that this database knows nothing of.

        The name is written down and no file is made for it yet, so that whenever the process dies, none is left that
        no row names. `stem` begins with the number of the row, so no other row can want the same name.
        """
        folder = self._folder / row.folder
        folder.mkdir(parents=True, exist_ok=True)
        names = (f"{stem}{f'-{attempt}' if attempt else ''}{ending}" for attempt in range(10_000))
        name = next((name for name in names if not (folder / name).exists()), None)
        if name is None:
            raise FileExistsError(errno.EEXIST, "no name is free for it", str(folder / f"{stem}{ending}"))
        nameless = (COLUMNS.number == row.number) & (COLUMNS.name == "")
        with self._engine.begin() as connection:
            connection.execute(update(PICTURES).where(nameless).values(name=name))
            return _one(connection, row.job_id, row.position)  # named by whoever saves the same picture, perhaps

    def _find(self, picture_id: str) -> Row[Any] | None:
        with self._engine.connect() as connection:
            return connection.execute(select(PICTURES).where((COLUMNS.id == picture_id) & COLUMNS.ready)).first()

    def _path(self, row: Row[Any]) -> Path:
        """Where the file is. Names are made by this store alone, yet one that leads elsewhere is refused."""
        path = self._folder / row.folder / row.name
        if path.parent.parent != self._folder or path.name != row.name or row.folder in (".", ".."):
            raise ValueError(f"The gallery names a file outside of its folder: {row.name!r}")
        return path


def _one(connection: Connection, job_id: str, position: int) -> Row[Any]:
    return connection.execute(select(PICTURES).where((COLUMNS.job_id == job_id) & (COLUMNS.position == position))).one()


def _which(owner: str | None, job_id: str | None) -> Iterator[ColumnElement[bool]]:
    """Conditions for finished rows of that owner and job; the bin is only looked into for a job."""
    yield COLUMNS.ready
    if owner is not None:
        yield COLUMNS.owner == owner
    if job_id is None:
        yield COLUMNS.binned.is_(None)
    else:
        yield COLUMNS.job_id == job_id


def _tidy(path: Path) -> None:
    """Remove what unfinished writes of that file have left."""
    for leaving in path.parent.glob(f".{_escaped(path.name)}.*.part"):
        leaving.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    """`name` for use in a glob."""
    return "".join(f"[{mark}]" if mark in "*?[" else mark for mark in name)


def _stored(row: Row[Any]) -> StoredPicture:
    recipe: Mapping[str, Any] = json.loads(row.recipe)
    return StoredPicture(
        id=row.id,
        job_id=row.job_id,
        index=row.position,
        owner=row.owner,
        created=datetime.fromtimestamp(row.created, UTC),
        width=row.width,
        height=row.height,
        media_type=MEDIA_TYPES[row.format],
        infotext=row.infotext,
        recipe=recipe,
        name=row.name,
        marks=Marks(row.favourite, None if row.binned is None else datetime.fromtimestamp(row.binned, UTC)),
    )
