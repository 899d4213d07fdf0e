"""A ZIP file that is sent while it is made."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Any

EARLIEST = 1980
"""ZIP knows no earlier year (APPNOTE 4.4.6)."""


class _Pipe(io.RawIOBase):
    """A file that can only be written to, and whose bytes are taken away; `zipfile` needs nothing else."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Take note of some bytes."""
        self._data += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        data = bytes(self._data)
        self._data.clear()
        return data


class Archive:
    """An archive without compression: pictures are compressed already."""

    def __init__(self) -> None:
        self._pipe = _Pipe()
        self._zip = zipfile.ZipFile(self._pipe, "w", zipfile.ZIP_STORED)

    def add(self, name: str, data: bytes, moment: datetime) -> bytes:
        """The bytes that put a file into the archive. A name is never a path: what separates is replaced."""
        flat = "".join("_" if mark in "/\\:" or not mark.isprintable() else mark for mark in name)
        entry = zipfile.ZipInfo(flat, moment.timetuple()[:6] if moment.year >= EARLIEST else (EARLIEST, 1, 1, 0, 0, 0))
        with self._zip.open(entry, "w") as place:
            place.write(data)
        return self._pipe.take()

    def end(self) -> bytes:
        """The bytes that close the archive."""
        self._zip.close()
        return self._pipe.take()
