"""Files of an experiment's results, made from its cells and the gallery when they are asked for."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from PIL import Image

from modules.contracts.errors import StudioError, UnknownName
from modules.contracts.experiments import Axis, CellRecord, Experiment, ExperimentRecord
from modules.contracts.pictures import PictureStore, StoredPicture
from modules.experiments.cells import caption
from modules.experiments.page import make_page
from modules.support.sheets import Layout, Shown, draw_sheet, fit_cell, tiles_of

TYPES = {"png": "image/png", "webp": "image/webp", "html": "text/html; charset=utf-8", "csv": "text/csv; charset=utf-8"}
FRAME_SIDE = 2048
"""Longest side of a film's first frame in a sheet."""
_SHEET = re.compile(r"sheet(?:-([1-9]\d{0,4}))?\.(png|webp)")
STANDS_FOR = {"waiting": "not drawn yet", "queued": "not drawn yet", "cancelled": "cancelled", "done": "picture gone"}
"""What a sheet says in place of a picture; of a failed cell it is the error."""
LARGE_PAGE, SIDE, SMALL_SIDE = 256, 1024, 384
"""Cells above which a page holds its pictures smaller, so that a browser can open it; and their sides in pixels."""


class Results:
    """Makes the files."""

    def __init__(self, pictures: PictureStore) -> None:
        self._pictures = pictures

    def files(self, record: ExperimentRecord, cells: Sequence[CellRecord]) -> list[str]:
        """Names that `file` gives."""
        columns, rows = _captions(record.experiment)
        count = len(tiles_of(columns, rows, Layout(self._cell_size(cells))))
        sheets = [
            f"sheet{'' if index == 0 else f'-{index + 1}'}.{kind}" for index in range(count) for kind in ("png", "webp")
        ]
        return [*sheets, "page.html", "cells.csv", "cells.json"]

    def file(self, record: ExperimentRecord, cells: Sequence[CellRecord], name: str) -> tuple[bytes, str]:
        """A file and its media type. Raises `UnknownName` for a name that `files` does not give."""
        found = _SHEET.fullmatch(name)
        if found is not None:
            sheet = self.sheet(record.experiment, cells, int(found[1] or 1) - 1)
            return _encode(sheet, found[2]), TYPES[found[2]]
        if name == "page.html":
            return self._page(record, cells), TYPES["html"]
        if name == "cells.csv":
            return _table(record, self._rows(record, cells)), TYPES["csv"]
        if name == "cells.json":
            told = {"id": record.id, "name": record.experiment.name, "state": record.state, "axes": _axes(record)}
            return json.dumps({**told, "cells": self._rows(record, cells)}, indent=1).encode(), "application/json"
        raise UnknownName(f"An experiment has no file {name[:64]!r}; it has {', '.join(self.files(record, cells))}.")

    def sheet(self, experiment: Experiment, cells: Sequence[CellRecord], number: int = 0, **layout: Any) -> Image.Image:
        """One tile of the sheet: columns are the first axis, rows all others. Raises `UnknownName` beyond the last."""
        columns, rows = _captions(experiment)
        form = replace(Layout(self._cell_size(cells)), **layout)
        tiles = tiles_of(columns, rows, form)
        if number >= len(tiles):
            raise UnknownName(f"The experiment has {len(tiles)} sheets; there is no sheet {number + 1}.")
        by_position, (down, across) = {cell.position: cell for cell in cells}, tiles[number]

        def shown(row: int, column: int) -> Shown:
            return self.shown(by_position.get((down[row]) * len(columns) + across[column]))

        return draw_sheet([columns[i] for i in across], [rows[i] for i in down], shown, form)

    def shown(self, cell: CellRecord | None) -> Shown:
        """What stands in a cell of a sheet; nothing where it was left out."""
        if cell is None:
            return None
        if cell.state == "failed":
            return cell.error or "failed"
        data = self.data(cell)
        return STANDS_FOR[cell.state] if data is None else Image.open(io.BytesIO(data))

    def data(self, cell: CellRecord) -> bytes | None:
        """The first picture of a cell, encoded; of a film in a file of its own kind a picture of its first frame."""
        stored = self.stored(cell)
        if stored is None:
            return None
        film = stored.media_type.startswith("video/")
        return self._pictures.thumbnail(stored.id, FRAME_SIDE) if film else self._pictures.read(stored.id)

    def stored(self, cell: CellRecord) -> StoredPicture | None:
        """The row of the first picture of a cell that is done; None without one."""
        if cell.state != "done" or cell.job_id is None:
            return None
        rows = self._pictures.list(job_id=cell.job_id, limit=64)
        return min(rows, key=lambda row: row.index, default=None)

    def _cell_size(self, cells: Sequence[CellRecord]) -> tuple[int, int]:
        """Of the largest picture; rows of the table say it without a file being opened."""
        stored = (self.stored(cell) for cell in cells)
        return fit_cell([(row.width, row.height) for row in stored if row is not None])

    def _rows(self, record: ExperimentRecord, cells: Sequence[CellRecord]) -> list[dict[str, Any]]:
        return [self._row(record.experiment, cell) for cell in cells]

    def _row(self, experiment: Experiment, cell: CellRecord) -> dict[str, Any]:
        stored = self.stored(cell)
        values = {axis.key: axis.values[index] for axis, index in zip(experiment.axes, cell.place, strict=True)}
        told: dict[str, Any] = {"position": cell.position, "place": list(cell.place), "values": values}
        told |= {"state": cell.state, "cached": cell.cached, "error": cell.error, "job_id": cell.job_id}
        if stored is None:
            return {**told, "picture_id": None, "file": None, "width": None, "height": None, "infotext": None}
        size = {"width": stored.width, "height": stored.height}
        return {**told, "picture_id": stored.id, "file": stored.name, **size, "infotext": stored.infotext}

    def _page(self, record: ExperimentRecord, cells: Sequence[CellRecord]) -> bytes:
        side = SIDE if len(cells) <= LARGE_PAGE else SMALL_SIDE
        rows = self._rows(record, cells)
        for row, cell in zip(rows, cells, strict=True):
            data = self.data(cell)
            row["picture"] = None if data is None else _smaller(data, side)
        return make_page(record.experiment.name or "Experiment", _axes(record), rows).encode()


def _captions(experiment: Experiment) -> tuple[list[str], list[str]]:
    """Of columns, along the first axis, and of rows, along all others, the second fastest."""
    if not experiment.axes:
        return [""], [""]
    first, *others = experiment.axes
    columns = [caption(first, index) for index in range(len(first.values))]
    spread = product(*([caption(axis, index) for index in range(len(axis.values))] for axis in reversed(others)))
    return columns, [", ".join(reversed(texts)) for texts in spread]


def _axes(record: ExperimentRecord) -> list[dict[str, Any]]:
    def told(axis: Axis) -> dict[str, Any]:
        return {"key": axis.key, "label": axis.label, "values": [caption(axis, n) for n in range(len(axis.values))]}

    return [told(axis) for axis in record.experiment.axes]


def _table(record: ExperimentRecord, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """One line for each cell, as a spreadsheet reads it: no value begins a formula."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\r\n")
    keys = [axis.key for axis in record.experiment.axes]
    plain = ["state", "cached", "job_id", "picture_id", "file", "width", "height", "error", "infotext"]
    writer.writerow(["position", *keys, *plain])
    for row in rows:
        values = [row["position"], *(row["values"][key] for key in keys), *(row[name] for name in plain)]
        writer.writerow([harmless(value) for value in values])
    return target.getvalue().encode("utf-8-sig")


def harmless(value: Any) -> Any:
    """The value as a spreadsheet shows it: a text that would begin a formula stands behind an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _encode(sheet: Image.Image, kind: str) -> bytes:
    target = io.BytesIO()
    options: dict[str, Any] = {"compress_level": 4} if kind == "png" else {"quality": 90}
    sheet.save(target, kind.upper(), **options)
    return target.getvalue()


def _smaller(data: bytes, side: int) -> bytes:
    with Image.open(io.BytesIO(data)) as given:
        picture = given.convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    try:
        picture.save(target, "WEBP", quality=88)
    except OSError as error:
        raise StudioError("A picture could not be written as WebP.") from error
    return target.getvalue()
