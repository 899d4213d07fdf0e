"""What jobs did, counted from the events on the bus. No figure names an owner, a prompt or a model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry, Counter, Histogram

from modules.contracts.errors import StudioError
from modules.contracts.events import (
    Event,
    ImageReady,
    JobCancelled,
    JobDone,
    JobFailed,
    JobPaused,
    JobQueued,
    JobResumed,
    JobStarted,
    StageStarted,
    StepDone,
)
from modules.support.bus import EventBus

OTHER = "other"
WAITS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
STEPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper edges of histograms, in seconds."""
MOST_WAITING = 20_000
"""Jobs whose waiting is timed at once; twice what the queue holds."""
LATELY = 60.0
"""Seconds that the speeds of the status page look back."""


def error_kinds() -> frozenset[str]:
    """Every kind that an error of this house can have, so that labels stay few."""
    found, pending = set(), [StudioError]
    while pending:
        kind = pending.pop()
        found.add(kind.kind)
        pending.extend(kind.__subclasses__())
    return frozenset(found)


@dataclass(slots=True)
class Place:
    """A running job as the bus told of it."""

    lane: int
    began: float
    """By the meter's clock."""
    stage: str = ""
    progress: float = 0.0
    """0 to 1."""


class JobMeter:
    """Counts and times jobs from now on. Fed by any thread, read by any."""

    def __init__(self, bus: EventBus, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._steps: dict[str, dict[int, tuple[int, float]]] = {}
        self._places: dict[str, Place] = {}
        self._ended: deque[float] = deque(maxlen=4096)
        self._paces: deque[tuple[float, float, int]] = deque(maxlen=4096)
        self.submitted = Counter("atelier_jobs_submitted", "Jobs that were taken into the queue.", registry=registry)
        self.ended = Counter("atelier_jobs_ended", "Jobs that ended.", ["state"], registry=registry)
        self.failed = Counter("atelier_jobs_failed", "Jobs that failed, by kind of error.", ["kind"], registry=registry)
        self.pictures = Counter("atelier_pictures", "Finished pictures.", registry=registry)
        self.waits = Histogram(
            "atelier_job_wait_seconds", "From the queue to a lane.", buckets=WAITS, registry=registry
        )
        self.runs = Histogram("atelier_job_run_seconds", "On a lane, of jobs done.", buckets=WAITS, registry=registry)
        self.steps = Histogram("atelier_step_seconds", "One step of one batch.", buckets=STEPS, registry=registry)
        for state in ("done", "failed", "cancelled"):
            self.ended.labels(state)
        self._ears: dict[type[Event], Callable[..., None]] = {
            JobQueued: self._queued, JobResumed: self._waits, JobStarted: self._started, JobPaused: self._left,
            StageStarted: self._stage, StepDone: self._step, ImageReady: self._picture,
            JobDone: self._done, JobFailed: self._failed, JobCancelled: self._cancelled,
        }  # fmt: skip
        bus.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        ear = self._ears.get(type(event))
        if ear is not None:
            ear(event)

    def _queued(self, event: JobQueued) -> None:
        self.submitted.inc()
        self._waits(event)

    def _waits(self, event: Event) -> None:
        with self._lock:
            if len(self._since) < MOST_WAITING:
                self._since[event.job_id] = self._clock()

    def _started(self, event: JobStarted) -> None:
        with self._lock:
            since = self._since.pop(event.job_id, None)
            self._places[event.job_id] = Place(event.lane, self._clock())
        if since is not None:
            self.waits.observe(self._clock() - since)

    def _stage(self, event: StageStarted) -> None:
        with self._lock:
            if event.job_id in self._places:
                self._places[event.job_id].stage = event.stage
            if event.stage == "denoise":
                self._steps.setdefault(event.job_id, {})[event.batch] = (0, self._clock())

    def _step(self, event: StepDone) -> None:
        now = self._clock()
        with self._lock:
            if event.job_id in self._places:
                self._places[event.job_id].progress = event.progress
            batches = self._steps.setdefault(event.job_id, {})
            before = batches.get(event.batch)
            batches[event.batch] = (event.step, now)
            made = 0 if before is None else event.step - before[0]
            if before is None or made <= 0:
                return
            self._paces.append((now, now - before[1], made))
        self.steps.observe((now - before[1]) / made)

    def _picture(self, event: ImageReady) -> None:
        self.pictures.inc()

    def _left(self, event: Event) -> None:
        with self._lock:
            for known in (self._since, self._steps, self._places):
                known.pop(event.job_id, None)

    def _end(self, event: Event, state: str) -> None:
        self._left(event)
        with self._lock:
            self._ended.append(self._clock())
        self.ended.labels(state).inc()

    def _done(self, event: JobDone) -> None:
        self._end(event, "done")
        self.runs.observe(event.seconds)

    def _failed(self, event: JobFailed) -> None:
        self._end(event, "failed")
        self.failed.labels(event.kind if event.kind in error_kinds() else OTHER).inc()

    def _cancelled(self, event: JobCancelled) -> None:
        self._end(event, "cancelled")

    def running(self) -> dict[str, tuple[Place, float]]:
        """Jobs on lanes of this process, and for how many seconds they have been there.

        Asking the queue would look like somebody who watches the jobs, and have previews made for nobody.
        """
        with self._lock:
            return {job: (replace(place), self._clock() - place.began) for job, place in self._places.items()}

    def speeds(self) -> tuple[float, float | None]:
        """Of the last `LATELY` seconds: jobs that ended per minute, and the mean seconds of a step."""
        early = self._clock() - LATELY
        with self._lock:
            paces = [(seconds, steps) for moment, seconds, steps in self._paces if moment >= early]
            ended = sum(moment >= early for moment in self._ended)
        steps = sum(count for _, count in paces)
        mean = sum(seconds for seconds, _ in paces) / steps if steps else None
        return ended * 60 / LATELY, mean
