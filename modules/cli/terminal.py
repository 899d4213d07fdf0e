"""The consoles of the terminal front: results on standard output, progress and remarks on standard error."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


def remarks() -> Console:
    """Where a person reads what is going on; not part of a command's result."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def bar(console: Console) -> Progress:
    """A progress bar with words, steps and the time; it takes itself away when it is done."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)
