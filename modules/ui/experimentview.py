"""What the page says of an experiment, as HTML. Every text that people wrote is escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence

from modules.contracts.experiments import CellRecord, ExperimentRecord, Foreseen

FOLDER = "studio/experiments"
"""Where the page finds files of results, seen from itself."""
ERRORS = 5
"""Failed cells whose errors are told."""
GIB = 2**30


def title(record: ExperimentRecord) -> str:
    """An experiment in a list: its name, or else its axes, and when it began."""
    name = record.experiment.name or " × ".join(axis.label for axis in record.experiment.axes) or "One cell"
    return f"{name[:60]} · {record.created:%d %b %H:%M} UTC"


def refused(sentence: str) -> str:
    """Why nothing was begun."""
    return f'<p class="experiment refused" role="alert">{html.escape(sentence)}</p>'


def removed(record: ExperimentRecord) -> str:
    """One that was taken away."""
    when = " once its jobs have stopped" if record.state == "running" else ""
    return f'<p class="experiment" role="status">{html.escape(title(record))} is removed{when}.</p>'


def foreseen(told: Foreseen) -> str:
    """A dry run."""
    time = "Time: not known yet."
    if told.seconds is not None:
        low, likely, high = (round(part) for part in (told.seconds.low, told.seconds.likely, told.seconds.high))
        time = f"Time: about {likely} s ({low} to {high})."
    memory = "" if told.memory is None else f" Memory: {told.memory / GIB:.1f} GiB at the peak."
    cells = f"{told.cells} cells, {told.cached} drawn before, {told.pictures} pictures to draw."
    return f'<p class="experiment dry" role="status">{cells} {time}{memory}</p>'


def progress(record: ExperimentRecord) -> str:
    """How far one is that runs."""
    whole, left = sum(record.counts.values()), record.counts.get("waiting", 0) + record.counts.get("queued", 0)
    return _framed(record, f'<progress max="{whole}" value="{whole - left}"></progress>')


def ended(record: ExperimentRecord, cells: Sequence[CellRecord], files: Sequence[str]) -> str:
    """One that has ended, with its first sheet, its files, and why cells failed."""
    version = 0 if record.ended is None else int(record.ended.timestamp())
    folder = f"{FOLDER}/{html.escape(record.id)}"
    sheet = (
        f'<a href="{folder}/sheet.png?v={version}" target="_blank" rel="noopener">'
        f'<img src="{folder}/sheet.webp?v={version}" alt="The sheet of the grid"></a>'
    )
    links = " ".join(
        f'<a href="{folder}/{name}?v={version}" target="_blank" rel="noopener">{name}</a>'
        for name in files
        if not name.endswith(".webp")
    )
    failed = [cell for cell in cells if cell.error]
    wrong = "".join(f"<li>Cell {cell.position}: {html.escape(cell.error or '')}</li>" for cell in failed[:ERRORS])
    return _framed(record, f"{sheet}<nav>{links}</nav>" + (f"<ul>{wrong}</ul>" if wrong else ""))


def _framed(record: ExperimentRecord, inner: str) -> str:
    counts = record.counts
    words = [f"{counts.get('done', 0)} of {sum(counts.values())} cells are drawn"]
    words += [f"{counts[state]} {state}" for state in ("failed", "cancelled") if counts.get(state)]
    line = f"<b>{html.escape(title(record))}</b><br>{', '.join(words)}; the experiment is {record.state}."
    return f'<div class="experiment" data-state="{record.state}" role="status"><p>{line}</p>{inner}</div>'
