"""What the terminal commands of rooms share: sub-commands that answer in JSON, too, and errors in one sentence.

A room's command has a function that adds its sub-commands; `launch.py NAME …` ends in `run_command`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from modules.bootstrap.options import Options
from modules.contracts.errors import StudioError
from modules.support.paths import Paths

Action = Callable[[argparse.Namespace, Options, Paths], int]
"""Does what a sub-command says, for the studio in those folders, and gives the exit code."""


class Named(Protocol):
    """An entry of a catalogue."""

    @property
    def name(self) -> str:
        """As people say it."""

    @property
    def problem(self) -> str | None:
        """Why it cannot be used, in a sentence."""


class Commands:
    """A command with sub-commands; each takes `--json`."""

    def __init__(self, name: str, description: str) -> None:
        self.parser = argparse.ArgumentParser(prog=f"launch.py {name}", description=description, allow_abbrev=False)
        self._all = self.parser.add_subparsers(required=True, metavar="COMMAND")

    def add(self, name: str, action: Action, help: str) -> argparse.ArgumentParser:
        """A sub-command that ends in `action`; its own arguments are added to what is returned."""
        command = self._all.add_parser(name, help=help, description=help, allow_abbrev=False)
        command.set_defaults(action=action)
        command.add_argument("--json", action="store_true", help="answer in JSON")
        return command


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str], options: Options) -> int:
    """Run one command line and return its exit code; an error is one sentence on standard error and a 1."""
    from rich.console import Console

    found = parser.parse_args(list(argv))
    try:
        code: int = found.action(found, options, Paths(options.paths.data_dir, options.paths.models_dir))
    except StudioError as error:
        Console(stderr=True, highlight=False).print(error.message, markup=False, soft_wrap=True)
        return 1
    return code


def show_unusable(entries: Iterable[Named]) -> None:
    """Those with a problem, each with what it is; nothing where there are none."""
    from rich.console import Console

    console = Console(highlight=False)
    broken = [entry for entry in entries if entry.problem is not None]
    if broken:
        console.print("These cannot be used:")
    for entry in broken:
        console.print(f"  {entry.name}: {entry.problem}", markup=False, soft_wrap=True)


def say_json(value: Any) -> None:
    """A value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
