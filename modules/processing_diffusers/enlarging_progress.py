"""How far a job that makes pictures larger has come, told to whoever listens."""

from __future__ import annotations

import time

from modules.contracts.events import StageStarted, StepDone
from modules.contracts.run import RunContext


class PictureSkipped(Exception):
    """The current picture is left; the next one goes on. Never leaves the engine."""


class Course:
    """Counts calls of upscalers as steps and pictures as batches. Used by one thread."""

    def __init__(self, context: RunContext, pictures: int) -> None:
        self.notes: list[str] = []
        self._context, self._pictures = context, pictures
        self._started = self._stepping = time.monotonic()
        self._number = self._calls = self._done = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._started

    def begin(self, number: int, calls: int) -> None:
        """The next picture, which takes so many calls."""
        if number == 0:
            self._stepping = time.monotonic()
        self._number, self._calls, self._done = number, max(calls, 1), -1
        self._context.emit(StageStarted(self._context.job_id, "enlarge", number, self._pictures))

    def check(self) -> None:
        """Before each call: raise `JobCancelled` or `PictureSkipped` when that was asked for, else tell of the last."""
        self.interrupt()
        self._done += 1
        if 0 < self._done < self._calls:  # beyond it when something was done again in smaller tiles
            self._tell(self._done)

    def interrupt(self) -> None:
        """Raise `JobCancelled` or `PictureSkipped` when that was asked for."""
        self._context.check()
        if self._context.skipped.is_set():
            self._context.skipped.clear()
            self.notes.append(f"Picture {self._number + 1} was skipped.")
            raise PictureSkipped

    def end(self) -> None:
        """The picture is there."""
        self._context.check()
        self._tell(self._calls)

    def _tell(self, done: int) -> None:
        share = (self._number + done / self._calls) / self._pictures
        left = (time.monotonic() - self._stepping) * (1 - share) / share
        self._context.emit(
            StepDone(self._context.job_id, done, self._calls, self._number, self._pictures, min(share, 1.0), left)
        )
