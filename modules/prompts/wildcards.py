"""Wildcards: text files with one choice a line, in a folder of the installation, known by name."""

from __future__ import annotations

import fnmatch
import logging
import re
import threading
import time
from pathlib import Path

from modules.prompts.comments import strip_comments

log = logging.getLogger(__name__)
NAME = re.compile(r"[\w\-*][\w\-*. ]*(?:/[\w\-*][\w\-*. ]*)*")
"""A safe name: words with single slashes between them; none begins with a point, so none leads out of the folder."""
LARGEST = 4 * 2**20
"""Bytes of a file that is read."""
MOST_FILES = 20_000
PACE = 2.0
"""Seconds for which the list of files is believed."""


class Wildcards:
    """The files of one folder. Safe from any thread; a file that was changed is read again."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` need not exist, and None is an empty one."""
        self._folder = folder
        self._lock = threading.Lock()
        self._index: dict[str, Path] = {}
        self._looked = float("-inf")
        self._read: dict[Path, tuple[int, tuple[str, ...]]] = {}

    def names(self) -> tuple[str, ...]:
        """All names in order."""
        return tuple(sorted(self._files()))

    def lines(self, name: str) -> tuple[str, ...] | None:
        """The choices of that name, of all files together where it has a `*`; None where there are none.

        From `#` to the end of a line is a comment, and empty lines are no choices.
        """
        if NAME.fullmatch(name) is None:
            return None
        files = self._files()
        wanted = name.casefold()
        if "*" in wanted:
            found = [files[known] for known in sorted(files) if fnmatch.fnmatchcase(known, wanted)]
        else:
            found = [files[wanted]] if wanted in files else []
        lines = tuple(line for path in found for line in self._lines_of(path))
        return lines or None

    def _files(self) -> dict[str, Path]:
        with self._lock:
            now = time.monotonic()
            if now - self._looked > PACE:
                self._index, self._looked = self._look(), now
            return self._index

    def _look(self) -> dict[str, Path]:
        if self._folder is None or not self._folder.is_dir():
            return {}
        home, found = self._folder.resolve(), dict[str, Path]()
        for path in sorted(self._folder.rglob("*.txt"))[:MOST_FILES]:
            # A link that leads elsewhere is not followed: the names of this folder open files of this folder.
            if path.is_file() and path.resolve().is_relative_to(home):
                name = path.relative_to(self._folder).with_suffix("").as_posix().casefold()
                found.setdefault(name, path)
        return found

    def _lines_of(self, path: Path) -> tuple[str, ...]:
        try:
            state = path.stat()
            known = self._read.get(path)
            if known is not None and known[0] == state.st_mtime_ns:
                return known[1]
            if state.st_size > LARGEST:
                log.warning("the wildcard file %s is larger than %d bytes and is not read", path.name, LARGEST)
                return ()
            text = path.read_text("utf-8-sig", errors="replace")
        except OSError as error:
            log.warning("the wildcard file %s cannot be read: %s", path.name, error.strerror)
            return ()
        lines = tuple(line.strip() for line in strip_comments(text).splitlines())
        kept = tuple(line for line in lines if line)
        self._read[path] = (state.st_mtime_ns, kept)
        return kept
