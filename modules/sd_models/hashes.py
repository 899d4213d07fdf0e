"""SHA-256 of models, computed by one background thread and remembered until the files change."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from modules.sd_models.scan import WEIGHTS, weight_files
from modules.support.atomic import write_text

log = logging.getLogger(__name__)
BLOCK = 1 << 20
SHORT = 10
"""Digits of A1111's short hash."""


def hash_model(path: Path) -> str:
    """SHA-256 in hex of a single file; for a folder, of the hashes of its weight files in the order of their paths.

    Raises `OSError`.
    """
    if not path.is_dir():
        return _hash_file(path)
    digest = hashlib.sha256()
    for file in weight_files(path):
        if file.suffix == WEIGHTS:
            digest.update(f"{_hash_file(file)}  {file.relative_to(path).as_posix()}\n".encode())
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class HashStore:
    """Known hashes by signature. The thread runs only while there is something to do, at the lowest priority."""

    def __init__(self, file: Path, compute: Callable[[Path], str] = hash_model) -> None:
        """`file` keeps the hashes between runs; one that cannot be read counts as empty."""
        self._file = file
        self._compute = compute
        self._lock = threading.Condition()
        self._known: dict[str, str] | None = None
        self._failed: set[str] = set()
        self._queue: deque[tuple[str, Path]] = deque()
        self._current: str | None = None
        self._thread: threading.Thread | None = None

    def known(self, signature: str) -> str | None:
        """The hash, if it has been computed. Never blocks on hashing."""
        with self._lock:
            return self._table().get(signature)

    def request(self, signature: str, path: Path, *, first: bool = False) -> None:
        """Have it computed; `first` puts it before all that wait. Returns at once; asking twice changes nothing."""
        with self._lock:
            if signature in self._table() or signature in self._failed or signature == self._current:
                return
            item = (signature, path)
            if item in self._queue:
                if not first:
                    return
                self._queue.remove(item)
            if first:
                self._queue.appendleft(item)
            else:
                self._queue.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="model-hashes", daemon=True)
                self._thread.start()

    def wait(self, signature: str, path: Path, timeout: float | None = None) -> str | None:
        """The hash, waiting for it; None when the files cannot be read or `timeout` seconds pass."""
        self.request(signature, path, first=True)
        with self._lock:
            self._lock.wait_for(lambda: signature in self._table() or signature in self._failed, timeout)
            return self._table().get(signature)

    def forget_requests(self) -> None:
        """Compute nothing more than what is being computed now."""
        with self._lock:
            self._queue.clear()

    def _table(self) -> dict[str, str]:
        if self._known is None:
            try:
                stored = json.loads(self._file.read_text("utf-8"))
                self._known = {str(key): str(value) for key, value in stored.items()}
            except (OSError, ValueError, AttributeError):
                self._known = {}
        return self._known

    def _work(self) -> None:
        _stand_back()
        while True:
            with self._lock:
                if not self._queue:
                    self._thread = None
                    return
                self._current, path = self._queue.popleft()
                signature = self._current
            found = None
            try:
                found = self._compute(path)
            except OSError as error:
                log.warning("%s could not be hashed: %s", path.name, error)
            with self._lock:
                self._current = None
                if found is None:
                    self._failed.add(signature)
                else:
                    self._table()[signature] = found
                self._store()
                self._lock.notify_all()

    def _store(self) -> None:
        try:
            write_text(self._file, json.dumps(self._table(), indent=1))
        except OSError as error:
            log.warning("hashes could not be kept: %s", error)


def _stand_back() -> None:
    """Give way to everything else. Only Linux has priorities of single threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
