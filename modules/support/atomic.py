"""Files that are either the old one or the new one, whole, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(target: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Write a new version of `target` into the yielded binary file.

    When the block ends well the new version is flushed to disk and takes the name in one step; when it raises,
    `target` is as before and nothing is left behind. The folder is made when missing. `mode` sets permission bits
    before any byte is written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if mode is not None:
                os.chmod(name, mode)
            elif os.name == "posix":
                os.chmod(name, 0o644)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_bytes(target: Path, data: bytes, *, mode: int | None = None) -> None:
    """`replacing` for bytes that are at hand."""
    with replacing(target, mode=mode) as stream:
        stream.write(data)


def write_text(target: Path, text: str, *, mode: int | None = None) -> None:
    """`replacing` for UTF-8 text."""
    write_bytes(target, text.encode("utf-8"), mode=mode)
