"""The files of an extension out of a folder, a zip file or a git repository, in a folder where nobody looks yet.

Whatever the source, there are no links among them, nothing lies outside of the folder, and their number and size are
bounded.
"""

from __future__ import annotations

import io
import lzma
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modules.contracts.errors import InvalidRequest
from modules.contracts.installing import Source
from modules.scripts.installation import repositories

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""What an extension may be called."""
MOST_BYTES = 256 << 20
"""Of all files of an extension together."""
MOST_FILES = 10_000
LEFT_OUT = frozenset({".git", ".hg", ".svn", ".venv", "venv", "__pycache__", "__MACOSX", "node_modules"})
"""Folders that no extension needs here."""
_CHUNK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError, ValueError)
"""What Python raises for a zip file that it cannot read."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files that were brought."""

    folder: Path
    name: str
    words: str
    """The source in words."""
    commit: str
    files: int
    bytes: int


def fetch(source: Source, stage: Path, *, offline: bool) -> Fetched:
    """Bring its files into a folder below `stage`. Raises `InvalidRequest` or `NotReady` with one sentence."""
    given = [source.folder is not None, bool(source.archive), bool(source.address)]
    if sum(given) != 1:
        raise InvalidRequest("Give one source: a folder, a zip file or the address of a git repository.")
    target, commit = stage / "files", ""
    if source.folder is not None:
        if not source.local:
            raise InvalidRequest("Folders of this machine are installed from its terminal only.")
        usual, words = source.folder.resolve().name, f"the folder {source.folder}"
        _copy(source.folder, target)
    elif source.archive:
        usual, words = _unpack(source.archive, target), "a zip file"
    else:
        found = repositories.clone(source, stage / "repository", offline=offline)
        usual, words, commit = found.name, source.address, found.commit
        _copy(found.folder, target)
    name = source.name or usual
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r:.80} cannot be the name of an extension; letters, digits, - and _ are allowed, a letter first. "
            "Give it another with its name."
        )
    files = [path for path in target.rglob("*") if path.is_file()] if target.is_dir() else []
    if not files:
        raise InvalidRequest("There are no files in it.")
    return Fetched(target, name, words, commit, len(files), sum(path.stat().st_size for path in files))


class _Allowance:
    """Counts files and bytes; raises `InvalidRequest` for one too many."""

    def __init__(self) -> None:
        self._files = self._bytes = 0

    def file(self) -> None:
        self._files += 1
        if self._files > MOST_FILES:
            raise InvalidRequest(f"An extension may have {MOST_FILES} files, and this one has more.")

    def bytes(self, count: int) -> None:
        self._bytes += count
        if self._bytes > MOST_BYTES:
            raise InvalidRequest(f"An extension may have {MOST_BYTES >> 20} MiB, and this one has more.")


def _copy(folder: Path, target: Path) -> None:
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder.")
    allowance = _Allowance()
    for path in _walk(folder):
        allowance.file()
        allowance.bytes(path.stat().st_size)
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _walk(folder: Path) -> Iterator[Path]:
    """Its plain files. Raises `InvalidRequest` for links and what else is no file."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in [*folders, *sorted(files)]:
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise InvalidRequest(f"{path.relative_to(folder)} is a link or a device; an extension has plain files.")
            if stat.S_ISREG(mode):
                yield path


def _unpack(data: bytes, target: Path) -> str:
    """Unpack a zip file; the name of the one folder that holds everything, which is left out, or nothing."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(info, _place(info)) for info in archive.infolist()]
            kept = [(info, place) for info, place in entries if not LEFT_OUT & set(place.parts) and not info.is_dir()]
            heads = {place.parts[0] for _, place in kept}
            top = heads.pop() if len(heads) == 1 and all(len(place.parts) > 1 for _, place in kept) else ""
            if top:
                kept = [(info, PurePosixPath(*place.parts[1:])) for info, place in kept]
            if len({str(place).casefold() for _, place in kept}) != len(kept):
                raise InvalidRequest("The zip file has a name twice.")
            allowance = _Allowance()
            for info, place in kept:
                allowance.file()
                path = target / place
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as packed, path.open("xb") as plain:
                    # What a header says of the size may be wrong, so what comes out is counted.
                    while chunk := packed.read(_CHUNK):
                        allowance.bytes(len(chunk))
                        plain.write(chunk)
    except OSError as error:  # its own words name the place on this machine
        raise InvalidRequest(f"The zip file cannot be unpacked: {error.strerror or 'it is damaged'}.") from error
    except _DAMAGED as error:
        raise InvalidRequest(f"The zip file cannot be unpacked: {error}.") from error
    return re.sub("-(main|master)$", "", top)


def _place(info: zipfile.ZipInfo) -> PurePosixPath:
    """Where an entry belongs. Raises `InvalidRequest` for one that would lie elsewhere, and for links."""
    place, mode = PurePosixPath(info.filename), info.external_attr >> 16
    odd = "\\" in info.filename or "\0" in info.orig_filename or ":" in info.filename
    if odd or place.is_absolute() or ".." in place.parts or not place.parts:
        raise InvalidRequest(f"The zip file has an entry that lies outside of its folder: {info.filename!r:.120}.")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidRequest(f"{info.filename!r:.120} is a link or a device; an extension has plain files.")
    return place
