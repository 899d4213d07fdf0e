"""`python -m modules.a1111.installing TASK ANSWER`: carries an extension's `install.py` out and says what it got.

Runs in a process of its own, started by `modules.scripts.installation.setup`. The file finds what every file of an
extension finds, and is the process's `__main__`, as with A1111.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from modules.a1111.house import HOUSE, Services, Withheld
from modules.a1111.importing import install, prepare
from modules.a1111.pip import PIP
from modules.contracts.errors import StudioError
from modules.scripts.installation import libraries
from modules.scripts.installation.setup import FILE, Task, Told
from modules.scripts.installation.solving import Solver, installed
from modules.scripts.loading import Extension, load
from modules.support.options import CORE_SETTINGS
from modules.support.paths import Paths
from modules.support.settings import Settings


class Counter:
    """Brings in what is asked for, one request after the other; what lies there already keeps its version."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._pins = dict(task.pins)
        self._asked: list[str] = []
        self._refused: list[str] = []

    def get(self, wishes: Sequence[str]) -> None:
        """Raises `RuntimeError`, as A1111's pip does, where they cannot be had."""
        solver = Solver(offline=self._task.offline, core={**installed(), **self._pins})
        try:
            found = solver.solve((*self._task.wishes, *self._asked, *wishes), {})
            more = {name: version for name, version in found.items() if name not in self._pins}
            solver.lay(more, Path(self._task.libraries))
        except StudioError as error:
            self._refused.append(f"{', '.join(wishes)}: {error.message}")
            raise RuntimeError(error.message) from error
        self._pins |= more
        self._asked += wishes
        importlib.invalidate_caches()

    @property
    def told(self) -> Told:
        """What it came to."""
        return Told(tuple(self._asked), self._pins, tuple(self._refused))


def main(task_file: Path, answer: Path) -> None:
    """Everything that the file raises goes up and ends the process."""
    task = Task(**json.loads(task_file.read_text("utf-8")))
    paths = Paths(Path(task.data), Path(task.models))
    # There is no studio in this process, so what is asked of its catalogue is refused with a sentence.
    HOUSE.open(Services(paths, Settings(CORE_SETTINGS, paths.data), cast("Any", Withheld("The catalogue of models"))))
    install()
    libraries.mount(Path(task.libraries))
    counter = Counter(task)
    PIP.open(counter.get)
    _execute(task.name, Path(task.folder) / FILE)
    told = counter.told
    answer.write_text(json.dumps({"asked": told.asked, "pins": told.pins, "refused": told.refused}), "utf-8")


def _execute(name: str, file: Path) -> None:
    extension = Extension(name, file.parent, ())
    load(extension, (), (), prepare)  # makes the package that the file's imports are looked for in
    spec = importlib.util.spec_from_file_location("__main__", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    module.__name__ = f"{extension.package}.install"
    prepare(module)
    module.__name__ = "__main__"
    try:
        spec.loader.exec_module(module)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
