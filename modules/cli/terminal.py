"""The consoles of the terminal front: results on standard output, progress and remarks on standard error."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeElapsedColumn,
)
from rich.text import Text


def remarks() -> Console:
    """Where a person reads what is going on; not part of a command's result."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


class Words(ProgressColumn):
    """The task's description; before there is one, what `waiting` says just now."""

    def __init__(self, waiting: Callable[[], str]) -> None:
        super().__init__()
        self._waiting = waiting

    def render(self, task: Task) -> Text:
        return Text(task.description or self._waiting())


def bar(console: Console, waiting: Callable[[], str]) -> Progress:
    """A progress bar with words, steps and the time; nothing where no terminal is, and nothing left when it is done."""
    columns = (SpinnerColumn(), Words(waiting), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
