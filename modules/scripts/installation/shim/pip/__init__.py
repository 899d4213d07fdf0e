"""Stands before pip while an extension's `install.py` is carried out.

pip has a dry run for `install` alone, so whatever else would change the studio's own environment is refused here; what
only reads, and `install` as a dry run, is handed on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.bootstrap import variables

READS = frozenset({"list", "show", "freeze"})
FLAGS = frozenset(
    {
        *("-q", "--quiet", "-v", "--verbose", "--no-input", "--no-color", "--no-cache-dir", "--isolated"),
        *("--disable-pip-version-check", "--require-virtualenv"),
    }
)
"""What may stand before the command: options that take no value."""
_SHIM = Path(__file__).resolve().parents[1]


def main(words: Sequence[str] | None = None) -> int:
    """The exit status of pip, or 1 and a sentence for what is refused."""
    given = list(sys.argv[1:] if words is None else words)
    at = next((place for place, word in enumerate(given) if word not in FLAGS), len(given))
    command = given[at] if at < len(given) else "--version"
    if command == "install":
        line = [*given[: at + 1], "--dry-run", *given[at + 1 :]]
    elif command in READS:
        line = given
    elif command in ("--version", "-V"):
        line = ["--version"]
    else:
        said = f"pip {command:.80} is refused: an install.py may ask for libraries and change none."
        sys.stderr.write(f"{said}\n")
        return 1
    environment = variables.snapshot()
    places = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join(place for place in places if place and Path(place).resolve() != _SHIM)
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-P", "-m", "pip", *line], env=environment).returncode
