"""Carries `install.py` of an extension out, in a process of its own, before its folder takes its place.

The process gets A1111's `launch`, whose pip is the studio's solver: what it asks for is held to the same rules as what
`requirements.txt` says, and lies in the same folder. A pip that it starts by itself is one of our own: it installs dry,
and refuses what else would change something.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modules.bootstrap import variables
from modules.contracts.errors import InvalidRequest
from modules.scripts.installation import processes
from modules.support.paths import ROOT

FILE = "install.py"
SECONDS = 900.0
"""How long it may take."""
SHIM = Path(__file__).resolve().parent / "shim"
"""Holds a package `pip` that is found before the real one."""
_RUNNER = "modules.a1111.installing"


@dataclass(frozen=True, slots=True)
class Task:
    """What the process has to know. Folders are texts, as it goes there as JSON."""

    name: str
    folder: str
    """The extension's own, where it is being made ready."""
    libraries: str
    data: str
    models: str
    wishes: tuple[str, ...]
    """What all extensions ask for, this one included."""
    pins: Mapping[str, str]
    """What lies in `libraries`."""
    offline: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What it did."""

    asked: tuple[str, ...] = ()
    """Libraries that it asked for and got."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """What lies in the folder of libraries now."""
    refused: tuple[str, ...] = ()
    """What it asked for and did not get, each with its reason."""


def is_there(folder: Path) -> bool:
    """Whether the extension has such a file and there is somebody to carry it out."""
    return (folder / FILE).is_file() and importlib.util.find_spec("modules.a1111") is not None


def carry_out(task: Task) -> Told:
    """Run it and wait. Raises `InvalidRequest` with the last line that it said if it fails."""
    with tempfile.TemporaryDirectory() as place:
        asked, answer = Path(place, "task.json"), Path(place, "told.json")
        asked.write_text(json.dumps(asdict(task)), "utf-8")
        environment = {
            **variables.snapshot(),
            "PYTHONPATH": os.pathsep.join((str(SHIM), str(ROOT))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
            "PIP_DRY_RUN": "1",
            "PIP_NO_INPUT": "1",
        }
        try:
            words = [sys.executable, "-P", "-m", _RUNNER, str(asked), str(answer)]
            done = processes.carry_out(words, Path(task.folder), environment, SECONDS)
        except subprocess.TimeoutExpired as error:
            raise InvalidRequest(
                f"{FILE} of {task.name} took longer than {SECONDS:g} s. Nothing was changed."
            ) from error
        if done.returncode or not answer.is_file():
            said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1][:400].rstrip(".")
            raise InvalidRequest(f"{FILE} of {task.name} failed: {said}. Nothing was changed.")
        found = json.loads(answer.read_text("utf-8"))
    return Told(tuple(found["asked"]), dict(found["pins"]), tuple(found["refused"]))
