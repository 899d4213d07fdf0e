"""Files and folders that are either the old one or the new one, whole, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import shutil
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


@contextlib.contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Write a new version of the folder `target` under the yielded path, which does not exist yet.

    When the block ends well it takes the name, and what was there is gone; when it raises, `target` is as before and
    nothing is left behind.
    """
    partial = target.with_name(f".{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(target: Path, data: bytes, *, mode: int | None = None) -> None:
    """`replacing` for bytes that are at hand."""
    with replacing(target, mode=mode) as stream:
        stream.write(data)


def write_text(target: Path, text: str, *, mode: int | None = None) -> None:
    """`replacing` for UTF-8 text."""
    write_bytes(target, text.encode("utf-8"), mode=mode)
