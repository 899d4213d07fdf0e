"""Finds packages that an interrupted installation left half unpacked, and makes uv see that they have to be laid again.

uv takes a package for installed when its `.dist-info` folder is there, and that folder may stand before all files do.
Telling uv to install everything anew would also download everything anew, so only what is damaged is taken away.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

from modules.bootstrap.environment import Environment


def discard_damaged(environment: Environment) -> list[str]:
    """Removes the `.dist-info` of every package with missing or cut files; returns their names and versions."""
    names = []
    for info in list(_dist_infos(environment.folder)):
        if not is_whole(info):
            shutil.rmtree(info)
            names.append(info.name.removesuffix(".dist-info"))
    return sorted(names)


def is_whole(info: Path) -> bool:
    """Whether every file in the package's RECORD is there and has the size written down; byte code does not count."""
    try:
        with (info / "RECORD").open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row and not row[0].endswith(".pyc")]
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return bool(rows) and all(_is_there(info.parent / row[0], row[2] if len(row) > 2 else "") for row in rows)


def _is_there(path: Path, size: str) -> bool:
    try:
        found = path.stat().st_size
    except OSError:
        return False
    return not size.isdigit() or found == int(size)


def _dist_infos(folder: Path) -> Iterator[Path]:
    for pattern in ("lib/python*/site-packages/*.dist-info", "Lib/site-packages/*.dist-info"):
        yield from folder.glob(pattern)
