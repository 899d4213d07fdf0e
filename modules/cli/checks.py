"""`test`: format, lint, types, import contracts and tests, one after the other; with arguments pytest alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from modules.bootstrap.flags import Command
from modules.bootstrap.options import ROOT
from modules.bootstrap.variables import snapshot
from modules.cli import browser, packages

BROWSER_VARIABLE = "ATELIER_BROWSER"
"""Tells the tests where the browser is."""
MEMORY_OF_A_PROCESS = 4 * 2**30
"""Bytes that a process of tests may need, with the server that it starts and the browser."""
MOST_PROCESSES = 8
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""For processes beside each other: pools of threads that share cores wait for each other longer than they work."""


@dataclass(frozen=True)
class Check:
    """One tool: its name for people and the command line that runs it, to be started in the root of the checkout."""

    name: str
    command: Sequence[str]


def static_checks() -> tuple[Check, ...]:
    """Everything that reads the code without running it."""
    python = sys.executable
    lint_imports = str(Path(python).with_name("lint-imports"))
    return (
        Check("ruff format", (python, "-m", "ruff", "format", "--check", "--quiet", ".")),
        Check("ruff check", (python, "-m", "ruff", "check", "--quiet", ".")),
        Check("mypy", (python, "-m", "mypy", "--no-error-summary")),
        Check("lint-imports", (lint_imports, "--no-cache")),
    )


def pytest_with(arguments: Sequence[str], processes: int = 1) -> Check:
    """The tests, or those that the arguments choose; with several processes, each takes whole files."""
    # In the order of collection: the files with the fewest tests are the longest ones, and would come last.
    spread = ("-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder") if processes > 1 else ()
    return Check("pytest", (sys.executable, "-m", "pytest", *spread, *arguments))


def count_processes(cores: int, memory: int) -> int:
    """How many processes share the tests: one for each of `cores`, as far as `memory` (bytes) carries them."""
    return max(1, min(cores, memory // MEMORY_OF_A_PROCESS, MOST_PROCESSES))


def run(command: Command) -> int:
    """0 when everything passed. All checks run even after one has failed; pytest's closing line ends the output."""
    found = browser.ensure(_say)
    packages.ensure_servers(_say)
    variables = {**snapshot(), **({BROWSER_VARIABLE: found} if found else {})}
    if command.rest:
        return run_check(pytest_with(command.rest), variables)
    failed = [check.name for check in static_checks() if run_check(check, variables)]
    _say(f"These checks failed: {', '.join(failed)}" if failed else "All checks passed; now the tests")
    processes = count_processes(os.cpu_count() or 1, psutil.virtual_memory().total)
    code = run_check(pytest_with((), processes), {**variables, **ONE_THREAD})
    return code or (1 if failed else 0)


def run_check(check: Check, variables: dict[str, str], root: Path = ROOT) -> int:
    """Runs one check with its output as it comes; says how it ended and when (pytest does so itself)."""
    started = time.monotonic()
    try:
        code = subprocess.run(check.command, cwd=root, env=variables, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        _say(f"{check.name} cannot be started: {error}")
        return 1
    if check.name != "pytest":
        _say(f"{check.name:<14}{'failed' if code else 'ok':<8}{time.monotonic() - started:.1f} s")
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
