"""One file over HTTP: goes on where an earlier attempt stopped, and is what its checksum says or is not kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel, StudioError, UnknownModel
from modules.sd_models.hub_files import HubFile

BLOCK = 1 << 18
ATTEMPTS = 6
"""Attempts in a row that bring no new byte before the download is given up."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""


class _Interrupted(Exception):
    """The connection broke; what came so far is on disk."""


def checksum(file: HubFile) -> Any:
    """A fresh digest of the kind that the hub gives for this file: SHA-256, or git's SHA-1 over header and content."""
    if file.sha256 or not file.git_id:
        return hashlib.sha256()
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(f"blob {file.size}\0".encode())
    return digest


def expected(file: HubFile) -> str | None:
    """What the digest should be; None when the hub gives none."""
    return file.sha256 or file.git_id


def is_whole(path: Path, file: HubFile) -> bool:
    """Whether the file at `path` has the size and the checksum it should have. Reads all of it."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    digest = checksum(file)
    _read_into(digest, path)
    return expected(file) in (None, digest.hexdigest())


def _read_into(digest: Any, path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Fetches `file` from `url`."""

    url: str
    headers: Mapping[str, str]
    file: HubFile
    pause: Callable[[float], None]

    def run(self, target: Path, advance: Callable[[int], None]) -> None:
        """Fetch into `target`, calling `advance` with the bytes that are there; `target` appears whole or not at all.

        Raises `BrokenModel` for a wrong checksum or length, `UnknownModel` when the server refuses, `StudioError` when
        the connection breaks ATTEMPTS times in a row without a new byte. Anything that `advance` raises ends it; what
        came is kept for the next time.
        """
        from huggingface_hub.utils import WeakFileLock

        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.incomplete")
        lock = target.parents[2] / ".locks" / target.parents[1].name / f"{target.name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(str(lock)):
            failures = 0
            while True:
                before = partial.stat().st_size if partial.is_file() else 0
                try:
                    self._attempt(partial, advance)
                    break
                except _Interrupted as error:
                    after = partial.stat().st_size if partial.is_file() else 0
                    failures = 0 if after > before else failures + 1
                    if failures >= ATTEMPTS:
                        raise StudioError(
                            f"The connection broke while {self.file.name} was being fetched ({error}); {after} of "
                            f"{self.file.size} bytes are here and the next attempt goes on from there."
                        ) from error
                    self.pause(min(2.0**failures / 2, 15.0))
            self._verify(partial)
            partial.replace(target)

    def _attempt(self, partial: Path, advance: Callable[[int], None]) -> None:
        """Append what is missing; returns when the file has its full length."""
        import httpx2
        from huggingface_hub.utils import get_session

        here = partial.stat().st_size if partial.is_file() else 0
        if here > self.file.size:
            partial.unlink()
            here = 0
        advance(here)
        if here == self.file.size and here > 0:
            return
        headers = dict(self.headers) | {"Accept-Encoding": "identity"}
        if here:
            headers["Range"] = f"bytes={here}-"
        try:
            with get_session().stream("GET", self.url, headers=headers, timeout=TIMEOUT) as answer:
                self._check_status(answer)
                if here and not self._continues(answer, here):
                    here = 0
                self._receive(answer, partial, here, advance)
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise _Interrupted(str(error) or type(error).__name__) from error
        if partial.stat().st_size < self.file.size:
            raise _Interrupted("it ended early")

    def _receive(self, answer: Any, partial: Path, here: int, advance: Callable[[int], None]) -> None:
        with partial.open("r+b" if here else "wb") as stream:
            stream.seek(here)
            for block in answer.iter_bytes():  # as they come, so that little is lost when the connection breaks
                if here + len(block) > self.file.size:
                    stream.truncate(0)
                    raise BrokenModel(f"The server sends more of {self.file.name} than its {self.file.size} bytes.")
                stream.write(block)
                here += len(block)
                stream.flush()
                advance(here)

    def _check_status(self, answer: Any) -> None:
        code = int(answer.status_code)
        if code in (200, 206):
            return
        if code in (401, 403):
            raise UnknownModel(f"The hub does not give {self.file.name} without a token that may read it.")
        if code == 404:
            raise UnknownModel(f"The hub has no file {self.file.name} in that revision.")
        raise _Interrupted(f"the server answered {code}")

    @staticmethod
    def _continues(answer: Any, here: int) -> bool:
        """Whether the server sends the rest, and not the whole file again."""
        return answer.status_code == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {here}-")

    def _verify(self, partial: Path) -> None:
        digest = checksum(self.file)
        _read_into(digest, partial)
        wanted = expected(self.file)
        if wanted is not None and digest.hexdigest() != wanted:
            partial.unlink()
            raise BrokenModel(
                f"{self.file.name} arrived damaged: its checksum is {digest.hexdigest()[:16]}…, the hub says "
                f"{wanted[:16]}…; it was removed."
            )
