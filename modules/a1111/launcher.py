"""A1111's `launch`, as extensions and their `install.py` import it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shlex
import sys
from types import SimpleNamespace
from typing import Any

from modules.a1111.pip import PIP
from modules.contracts.errors import UnsupportedFeature

args = SimpleNamespace(skip_install=True)
python = sys.executable
index_url = ""


def is_installed(package: str) -> bool:
    """Whether a library of that name is there, or something that can be imported by it."""
    try:
        importlib.metadata.distribution(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        try:
            return importlib.util.find_spec(package) is not None
        except (ModuleNotFoundError, ValueError):
            return False
    return True


def run_pip(command: str, desc: str | None = None, live: bool = False) -> None:
    """Ask for libraries, inside of `install.py`. Raises as `Pip.run` says."""
    PIP.run(command)


def run(command: str, desc: str | None = None, errdesc: str | None = None, **given: Any) -> str:
    """A command line of A1111's, if it is one of pip. Raises `UnsupportedFeature` for every other."""
    words = shlex.split(command)
    if words[1:3] != ["-m", "pip"]:
        raise UnsupportedFeature(f"launch.run: of all command lines only pip's are carried out, not {command!r:.80}.")
    PIP.run(shlex.join(words[3:]))
    return ""


def git_clone(url: str, dir: str, name: str, commithash: str | None = None) -> None:
    """Raises `UnsupportedFeature`: an extension is what its own repository holds."""
    raise UnsupportedFeature(f"launch.git_clone: no other repositories are fetched for an extension ({url:.100}).")


def git_tag() -> str:
    """A1111's version whose interface this is."""
    return "v1.10.1"


def commit_hash() -> str:
    """None is known."""
    return "<none>"
