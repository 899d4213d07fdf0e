"""What a script may use while it takes part in a job: no more than this."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.contracts.errors import JobCancelled
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult
from modules.contracts.run import RunContext
from modules.scripts.calling import current_call

Draw = Callable[[GenerationRequest], GenerationResult]


class Line:
    """What the scripts of one job share: the way to the engine, to the person, and how far the job has come."""

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self.notes: list[str] = []
        self.progress: tuple[float, float] = (0.0, 1.0)
        """Share of the job that is done, and the share that what is being drawn counts."""
        self._lock = threading.Lock()

    def note(self, sentence: str) -> None:
        """Tell the person something, once."""
        with self._lock:
            if sentence not in self.notes:
                self.notes.append(sentence)


class JobContext:
    """One script in one job. Attributes are read; `state` and `infotext` are the script's to write into."""

    def __init__(
        self,
        line: Line,
        draw: Draw,
        values: Mapping[str, Any],
        *,
        settings: Mapping[str, Any],
        folder: Path,
    ) -> None:
        """`draw` is the way to the engine, `folder` the extension's own."""
        self._line, self._draw, self._folder = line, draw, folder
        self.job_id = line.run.job_id
        self.values: Mapping[str, Any] = MappingProxyType(dict(values))
        """The script's parameters in this job, by name."""
        self.settings: Mapping[str, Any] = MappingProxyType(dict(settings))
        """The extension's settings."""
        self.state: dict[str, Any] = {}
        """Whatever the script keeps until the job ends."""
        self.infotext: dict[str, Any] = {}
        """Labels and values to be written beside those of the studio into every picture from now on."""
        self.log = logging.getLogger(f"extension.{folder.name}")

    @property
    def storage(self) -> Path:
        """A folder of the extension's own, kept from start to start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def generate(self, request: GenerationRequest) -> GenerationResult:
        """Draw at once, in this job's lane. Nothing of it is saved or shown but what the script hands out itself.

        Scripts that are always on take part in what the owner of the run draws, and in nothing else of this kind.
        Raises `StudioError` for what cannot be drawn, `JobCancelled` once the job is to end.
        """
        call = current_call()
        if call is None:
            return self._draw(request)
        if call.abandoned:
            raise JobCancelled("This call of the script was given up.")
        with call.paused():
            return self._draw(request)

    def progress(self, done: float, total: float) -> None:
        """How far a script that owns the run has come, in whatever it counts; what it draws next counts as one."""
        whole = max(float(total), 1e-9)
        self._line.progress = (min(max(float(done), 0.0) / whole, 1.0), 1.0 / max(whole, 1.0))

    def note(self, sentence: str) -> None:
        """Tell the person something with the result."""
        self._line.note(str(sentence)[:1000])

    @property
    def cancelled(self) -> bool:
        """Somebody wants the job to end; a script that takes its time looks now and then."""
        return self._line.run.cancelled.is_set()

    def check(self) -> None:
        """Raise `JobCancelled` once somebody wants the job to end."""
        self._line.run.check()
