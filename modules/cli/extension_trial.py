"""`launch.py ext test NAME`: the extension with the embedded model, and the tests that it brings."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from modules.bootstrap import variables
from modules.bootstrap.options import Options
from modules.contracts.errors import ExtensionFailed, UnknownName
from modules.scripts.loading import find_extensions
from modules.scripts.metadata import read_metadata
from modules.scripts.trial import Trial, Verdict
from modules.shelves import open_installer, open_shelf, open_shelves
from modules.support.commands import say_json
from modules.support.log import configure
from modules.support.options import CORE_SETTINGS
from modules.support.paths import ROOT, Paths
from modules.support.settings import Settings

MODEL = "pocket"
"""The model that ships, small enough to be drawn with on any machine."""
SECONDS = 600.0
"""How long the extension's own tests may take."""
NO_PYTEST = "pytest is not installed; python launch.py test installs it"


def test(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    """0 when nothing was thrown and its tests pass. Raises `ExtensionFailed` for one that cannot be loaded."""
    configure(json_lines=options.run.log_json, level=logging.CRITICAL)
    there = {one.name.casefold(): one.name for one in find_extensions([options.paths.extensions_dir], [])}
    name = there.get(found.name.casefold())
    if name is None:
        raise UnknownName(f"There is no extension '{found.name:.100}' in {options.paths.extensions_dir}.")
    with tempfile.TemporaryDirectory() as folder:
        verdict = _draw(name, options, Paths(Path(folder), options.paths.models_dir))
    tests = _run_tests(options.paths.extensions_dir / name, options)
    failed = bool(verdict.faults) or (tests is not None and tests["code"] != 0)
    if found.json:
        say_json({**dataclasses.asdict(verdict), "tests": tests})
    else:
        _say(verdict, tests)
    return int(failed)


def _draw(name: str, options: Options, paths: Paths) -> Verdict:
    """A studio's engine in a data folder of its own, with this extension and those that it requires."""
    from modules.app import assemble

    home = options.paths.extensions_dir
    paths.ensure()
    (paths.data / "extensions.json").write_text(json.dumps({"off": _others(name, home)}), "utf-8")
    apart = replace(options, run=replace(options.run, safe_mode=True, lanes=1))
    settings = Settings(CORE_SETTINGS, paths.data)
    shelves = open_shelves(apart, paths, settings)
    shelf = open_shelf(options, paths, [home], paths.data)
    shelves = replace(shelves, scripts=shelf)
    try:
        shelf.scan()
        extension = shelf.get(name)
        if extension.error:
            raise ExtensionFailed(f"{extension.error}.\n{extension.trace}".rstrip())
        trial = Trial(shelf, extension)
        _, engine = assemble(apart, paths, settings, shelves)
        try:
            trial.draw(shelves.scripted(lambda: engine)(), MODEL)
        finally:
            engine.close()
    finally:
        shelf.close()
        shelves.networks.close()
        gc.unfreeze()
    return trial.close()


def _others(name: str, home: Path) -> list[str]:
    """All that are neither the extension of that folder nor required by it, directly or not."""
    there = find_extensions([home], [])
    for one in there:
        with contextlib.suppress(ValueError):  # the shelf tells of a file that cannot be read
            one.metadata = read_metadata(one.folder)
    by_key = {one.key: one for one in there}
    needed: set[str] = set()
    left = [one.key for one in there if one.name == name]
    while left:
        key = left.pop()
        if key not in needed:
            needed.add(key)
            left += by_key[key].metadata.among(key).requires if key in by_key else ()
    return [one.name for one in there if one.key not in needed]


def _run_tests(folder: Path, options: Options) -> dict[str, Any] | None:
    """What pytest says of the extension's own tests; None where it brings none."""
    tests = folder / "tests"
    if not any(tests.rglob("test_*.py")):
        return None
    if importlib.util.find_spec("pytest") is None:
        return {"code": 1, "output": NO_PYTEST}
    libraries = open_installer(options).libraries
    roots = [str(ROOT)] if libraries is None else [str(ROOT), str(libraries)]
    line = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(tests)]
    environment = {**variables.snapshot(), "PYTHONPATH": os.pathsep.join(roots), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            line,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return {"code": 1, "output": f"The tests took longer than {SECONDS:g} s."}
    return {"code": done.returncode, "output": done.stdout[-8000:]}


def _say(verdict: Verdict, tests: dict[str, Any] | None) -> None:
    console = Console(highlight=False)

    def tell(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    tell(f"{verdict.extension}: loaded in {verdict.seconds:.2f} s, {verdict.bytes / 2**20:.1f} MiB")
    for job in verdict.jobs:
        tell(f"  {job.what}: {job.pictures} pictures" + "".join(f"; {note}" for note in job.notes))
    for label, times in sorted(verdict.asked.items()):
        tell(f"  {label}: called {times} times")
    for label in verdict.unasked:
        tell(f"  {label}: not called")
    for fault in verdict.faults:
        tell(f"{fault.what} ({fault.times} times)\n{fault.trace}")
    if tests is not None:
        tell(f"its own tests {'passed' if tests['code'] == 0 else 'failed'}:\n{tests['output']}")
    tell("Nothing was thrown." if not verdict.faults else f"{len(verdict.faults)} failures.")
