"""The access token for the hub: kept among the secrets of the data folder, and never taken from a command line.

A command line can be read by everybody who may list processes, and it stays in the history of the shell.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from modules.contracts.errors import InvalidRequest
from modules.support.options import CORE_SETTINGS
from modules.support.paths import Paths
from modules.support.settings import Settings

KEY = "hub_token"


def find_token(file: Path | None, paths: Paths) -> str:
    """The token in the file that was named, else the stored one; empty when there is none. Raises `InvalidRequest`."""
    return str(Settings(CORE_SETTINGS, paths.data)[KEY]) if file is None else _checked(_read(file))


def store_token(file: Path | None, paths: Paths) -> None:
    """Keep the token in `file`, or else the first line of standard input; asked for unseen on a terminal.

    Readable by the owner of the data folder only. Raises `InvalidRequest`, which never repeats what was given.
    """
    if file is not None:
        text = _read(file)
    elif sys.stdin.isatty():
        text = getpass.getpass("Token (not shown): ")
    else:
        text = sys.stdin.readline()
    Settings(CORE_SETTINGS, paths.data).set_secret(KEY, _checked(text))


def forget_token(paths: Paths) -> None:
    """Take the stored token away."""
    Settings(CORE_SETTINGS, paths.data).set_secret(KEY, "")


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"The token cannot be read from {file}: {error}.") from error


def _checked(text: str) -> str:
    """One word of printable ASCII: it becomes part of a header of HTTP."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidRequest(
            "The token has to be one word of plain letters, digits and signs; something else was given."
        )
    return token
