"""A1111's `launch`, as extensions import it."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

from modules.contracts.errors import UnsupportedFeature

args = SimpleNamespace(skip_install=True)


def is_installed(package: str) -> bool:
    """Whether a library can be imported."""
    return importlib.util.find_spec(package) is not None


def run_pip(command: str, desc: str | None = None, live: bool = False) -> None:
    """Raises `UnsupportedFeature`: nothing is installed while the studio runs."""
    raise UnsupportedFeature("launch.run_pip: an extension installs nothing here; its libraries are installed by hand.")


def git_tag() -> str:
    """A1111's version whose interface this is."""
    return "v1.10.1"


def commit_hash() -> str:
    """None is known."""
    return "<none>"
