"""Wildcards: choices known by name, from files in a folder of the installation.

A text file has one choice a line and is called as its path; a YAML file has lists, each called by the keys that lead to
it, in the layout of A1111's dynamic prompts.
"""

from __future__ import annotations

import fnmatch
import logging
import re
import threading
import time
from pathlib import Path
from typing import Any

from modules.contracts.errors import reason_of
from modules.prompts.comments import strip_comments

log = logging.getLogger(__name__)
NAME = re.compile(r"[\w\-*][\w\-*. ]*(?:/[\w\-*][\w\-*. ]*)*")
"""A safe name: words with single slashes between them; none begins with a point, so none leads out of the folder."""
LARGEST = 4 * 2**20
"""Bytes of a file that is read."""
MOST_FILES = 20_000
SUFFIXES = (".txt", ".yaml", ".yml")
Lists = dict[str, tuple[str, ...]]
"""Choices of one file by the names within it; a text file has one list, without a name."""
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
        self._read: dict[Path, tuple[int, Lists]] = {}

    def names(self) -> tuple[str, ...]:
        """All names in order."""
        return tuple(sorted({**self._trees(), **self._files()}))

    def lines(self, name: str) -> tuple[str, ...] | None:
        """The choices of that name, of all files together where it has a `*`; None where there are none.

        From `#` to the end of a line is a comment, and empty lines are no choices.
        """
        if NAME.fullmatch(name) is None:
            return None
        files, trees = self._files(), self._trees()
        wanted = name.casefold()
        if "*" in wanted:
            found = [known for known in sorted({*files, *trees}) if fnmatch.fnmatchcase(known, wanted)]
        else:
            found = [wanted]
        # A text file goes before a list of the same name.
        lines = tuple(
            line
            for known in found
            for line in (self._lists_of(files[known]).get("", ()) if known in files else trees.get(known, ()))
        )
        return lines or None

    def _files(self) -> dict[str, Path]:
        """The text files by name."""
        return {name: path for name, path in self._all_files().items() if path.suffix == ".txt"}

    def _trees(self) -> dict[str, tuple[str, ...]]:
        """The lists of all YAML files by name, the first file's where two have the same."""
        found: dict[str, tuple[str, ...]] = {}
        for path in self._all_files().values():
            if path.suffix != ".txt":
                found = {**self._lists_of(path), **found}
        return found

    def _all_files(self) -> dict[str, Path]:
        with self._lock:
            now = time.monotonic()
            if now - self._looked > PACE:
                self._index, self._looked = self._look(), now
            return self._index

    def _look(self) -> dict[str, Path]:
        if self._folder is None or not self._folder.is_dir():
            return {}
        home, found = self._folder.resolve(), dict[str, Path]()
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in SUFFIXES)
        for path in paths[:MOST_FILES]:
            # A link that leads elsewhere is not followed: the names of this folder open files of this folder.
            if path.is_file() and path.resolve().is_relative_to(home):
                inside = path.relative_to(self._folder)
                name = inside.with_suffix("") if path.suffix == ".txt" else inside
                found.setdefault(name.as_posix().casefold(), path)
        return found

    def _lists_of(self, path: Path) -> Lists:
        try:
            state = path.stat()
            known = self._read.get(path)
            if known is not None and known[0] == state.st_mtime_ns:
                return known[1]
            if state.st_size > LARGEST:
                log.warning("the wildcard file %s is larger than %d bytes and is not read", path.name, LARGEST)
                return {}
            text = path.read_text("utf-8-sig", errors="replace")
        except OSError as error:
            log.warning("the wildcard file %s cannot be read: %s", path.name, error.strerror)
            return {}
        if path.suffix == ".txt":
            lines = tuple(line.strip() for line in strip_comments(text).splitlines())
            kept = {"": tuple(line for line in lines if line)}
        else:
            kept = _read_tree(text, path.name)
        self._read[path] = (state.st_mtime_ns, kept)
        return kept


def _read_tree(text: str, file: str) -> Lists:
    """The lists of a YAML file by their keys, with slashes between; none for one that cannot be read."""
    import yaml

    try:
        # Aliases let a short file stand for an endless one, and wildcards need none.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            log.warning("the wildcard file %s has aliases and is not read", file)
            return {}
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        log.warning("the wildcard file %s cannot be read: %s", file, reason_of(error))
        return {}
    found: Lists = {}
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        name, item = waiting.pop()
        if isinstance(item, dict):
            waiting += [(f"{name}/{key}".strip("/").casefold(), value) for key, value in item.items()]
        elif name:
            several = item if isinstance(item, list) else [item]
            lines = tuple(str(one).strip() for one in several if isinstance(one, str | int | float))
            if lines and NAME.fullmatch(name) is not None:
                found[name] = tuple(line for line in lines if line)
    return found
