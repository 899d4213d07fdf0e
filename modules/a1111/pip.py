"""A1111's `run_pip`, which installs nothing by itself: it hands what is asked for to whoever installs, if anybody."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.scripts.installation.wishes import check_wishes

Get = Callable[[Sequence[str]], None]
"""Brings libraries in. Raises `StudioError` with a sentence where that cannot be."""
IGNORED = frozenset(
    {
        *("-U", "--upgrade", "-q", "--quiet", "-v", "--verbose", "--prefer-binary", "--no-cache-dir", "--no-deps"),
        *("--no-warn-script-location", "--disable-pip-version-check", "--no-input", "--only-binary=:all:", "--user"),
    }
)
"""Options of pip that change nothing here."""


class Pip:
    """Open while `install.py` is carried out."""

    def __init__(self) -> None:
        self._get: Get | None = None

    def open(self, get: Get) -> None:
        """From now on that brings libraries in."""
        self._get = get

    def run(self, command: str) -> None:
        """What stands behind `pip`: `install NAME…` or `install -r FILE`.

        Raises `UnsupportedFeature` while the studio runs, `RuntimeError`, as A1111 does, where it cannot be had.
        """
        if self._get is None:
            raise UnsupportedFeature(
                "launch.run_pip: nothing is installed while the studio runs; what an extension needs stands in "
                "its requirements.txt, or is asked for by its install.py."
            )
        self._get(read_command(command))


def read_command(command: str) -> tuple[str, ...]:
    """The wishes in a command line of pip. Raises `InvalidRequest` for anything but a plain `install`."""
    words = shlex.split(command)
    if words[:1] != ["install"]:
        raise InvalidRequest(f"pip {command:.80} is not carried out; install is all that an extension may ask for.")
    wishes: list[str] = []
    left = iter(words[1:])
    for word in left:
        if word in ("-r", "--requirement"):
            wishes += _lines(Path(next(left, "")))
        elif word not in IGNORED:
            wishes.append(word)
    return check_wishes(wishes, "install.py")


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file.name or 'the list of libraries'} cannot be read.") from error
    bare = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in bare if line and not line.startswith("#")]


PIP = Pip()
"""One for the process, as extensions import modules and get no arguments."""
