"""Programs that are carried out to bring an extension in: bounded in time, watched, and ended with all they began."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOK = 0.25
"""How often `look` is asked, seconds."""


def _see_nothing() -> None:
    """Of a program that nobody watches."""


def carry_out(
    words: Sequence[str],
    folder: Path | None,
    environment: Mapping[str, str],
    seconds: float,
    look: Callable[[], None] = _see_nothing,
) -> subprocess.CompletedProcess[str]:
    """Run it in `folder` and wait; it can ask nobody anything.

    `look` is asked now and then, and once more when it has ended; what it raises ends the program. Raises
    `subprocess.TimeoutExpired`, and `FileNotFoundError` for a program that is not there.
    """
    end = time.monotonic() + seconds
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=os.name == "posix",
    ) as process:
        try:
            while True:
                try:
                    out, err = process.communicate(timeout=min(LOOK, max(end - time.monotonic(), 0)))
                    break
                except subprocess.TimeoutExpired:
                    look()
                    if time.monotonic() >= end:
                        raise
            look()
        except BaseException:
            _end(process)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    """End it and what it started, which stands in a group of its own where there are groups."""
    if os.name == "posix":
        # What it started may go on, and hold its pipes open, after it has ended itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
