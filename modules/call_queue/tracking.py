"""Where a job stands, kept up to date from its own events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from modules.contracts.events import Event, JobPaused, JobStarted, Preview, StageStarted, StepDone
from modules.contracts.jobs import JobProgress, JobState


class Tracker:
    """Progress of one job. Fed by one or several threads, read by any."""

    def __init__(self, job_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._job_id = job_id
        self._clock = clock
        self._lock = threading.Lock()
        self._state: JobState = "queued"
        self._stage = ""
        self._step = StepDone(job_id, steps=0)
        self._origin: tuple[float, float] | None = None
        self._preview: bytes | None = None
        self._read_at: float | None = None

    def feed(self, event: Event) -> None:
        """Take note of an event of this job."""
        with self._lock:
            if isinstance(event, JobStarted):
                self._state = "running"
            elif isinstance(event, JobPaused):
                self._state, self._stage, self._preview = "queued", "", None
                self._step, self._origin = StepDone(self._job_id, steps=0), None
            elif isinstance(event, StageStarted):
                self._stage = event.stage
            elif isinstance(event, Preview):
                self._preview = event.data
            elif isinstance(event, StepDone):
                self._step = event
                if self._origin is None or event.progress < self._origin[1]:
                    self._origin = (self._clock(), event.progress)

    def end(self, state: JobState) -> None:
        """The job has ended in `state`. The preview is let go of: the pictures are there, or none will be."""
        with self._lock:
            self._state, self._preview = state, None

    def read(self, position: int = 0) -> JobProgress:
        """A snapshot for somebody who watches the job; `position` is the number of jobs before it."""
        with self._lock:
            self._read_at = self._clock()
        return self.peek(position)

    def peek(self, position: int = 0) -> JobProgress:
        """The same for the house's own use: nobody is taken to watch for it."""
        with self._lock:
            step, done = self._step, self._state == "done"
            return JobProgress(
                job_id=self._job_id,
                state=self._state,
                progress=1.0 if done else min(max(step.progress, 0.0), 1.0),
                step=step.step,
                steps=step.steps,
                batch=step.batch,
                batches=step.batches,
                stage=self._stage,
                eta_seconds=self._eta() if self._state == "running" else None,
                preview=self._preview,
                position=position,
            )

    def was_read(self, seconds: float) -> bool:
        """Whether somebody has asked within that many seconds."""
        with self._lock:
            return self._read_at is not None and self._clock() - self._read_at <= seconds

    def _eta(self) -> float | None:
        """Seconds left: the engine's own estimate, else by the speed since the first step, so without loading."""
        if self._step.eta_seconds is not None:
            return self._step.eta_seconds
        if self._origin is None or self._step.progress <= self._origin[1]:
            return None
        speed = (self._step.progress - self._origin[1]) / max(self._clock() - self._origin[0], 1e-6)
        return max(1.0 - self._step.progress, 0.0) / speed
