"""A running job: its clock, its events, its checks for cancellation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from modules.contracts.events import ImageReady, Preview, StageStarted, StepDone
from modules.contracts.plan import GenerationPlan
from modules.contracts.result import Picture
from modules.contracts.run import RunContext


class BatchSkipped(Exception):
    """The current batch is left; the next one goes on. Never leaves the engine."""


class Run:
    """One call of `generate`. Used by one thread."""

    def __init__(self, plan: GenerationPlan, context: RunContext) -> None:
        self.plan = plan
        self.context = context
        self.notes: list[str] = list(plan.notes)
        self.pictures: list[Picture] = []
        self.seconds: dict[str, float] = {}
        """Time spent per stage."""
        self.batch = 0
        self.finished_batches = 0
        self.started = time.monotonic()
        self._before = 0.0
        """Steps of this batch that ended with an earlier pass."""
        self._done = 0.0
        """Steps of this batch so far; a part of one where a sampler tells of it."""
        self._earlier = 0.0
        """Steps of earlier batches that were run here, for the pace."""
        self._stepping_since: float | None = None

    def note(self, sentence: str) -> None:
        """Tell the person something, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def loading(self, share: float) -> None:
        """A model is being read, `share` of it so far; may be called often."""
        self.context.check()
        if share == 0.0:
            self.context.emit(StageStarted(self.context.job_id, "load", self.batch, len(self.plan.batches)))

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage of the current batch: check for cancellation, announce it, measure it."""
        self.check()
        self.context.emit(StageStarted(self.context.job_id, name, self.batch, len(self.plan.batches)))
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun

    def check(self) -> None:
        """Raise `JobCancelled` or `BatchSkipped` when that was asked for."""
        self.context.check()
        if self.context.skipped.is_set():
            self.context.skipped.clear()
            raise BatchSkipped

    @contextlib.contextmanager
    def batch_of(self, number: int) -> Iterator[None]:
        """One batch. A skipped one counts as finished; one that failed may be begun again."""
        self.batch = number
        self._earlier += self._done
        self._before = self._done = 0.0
        try:
            yield
        except BatchSkipped:
            self.note(f"Batch {number + 1} was skipped.")
        self.finished_batches = number + 1

    def begin_steps(self) -> None:
        """A pass through the denoiser starts."""
        self._before = self._done
        if self._stepping_since is None:
            self._stepping_since = time.monotonic()

    def step_done(self, done: float) -> None:
        """`done` of the steps of this pass are behind."""
        self._done = self._before + done
        plan, batches = self.plan, len(self.plan.batches)
        steps = max(plan.total_steps // batches, 1)
        progress = min((self.batch + self._done / steps) / batches, 1.0)
        left = None
        behind = self._earlier + self._done
        if self._stepping_since is not None and behind > 0:
            pace = (time.monotonic() - self._stepping_since) / behind
            left = pace * max(steps * batches - self.batch * steps - self._done, 0)
        self.context.emit(StepDone(self.context.job_id, self._step, steps, self.batch, batches, progress, left))

    @property
    def _step(self) -> int:
        return int(self._done + 1e-9)

    def preview(self, data: bytes, media_type: str) -> None:
        """Show how far it has come."""
        self.context.emit(Preview(self.context.job_id, self._step, data, media_type))

    def deliver(self, picture: Picture) -> None:
        """A picture is finished: keep it, hand it to the sink, then announce it."""
        self.pictures.append(picture)
        self.context.finished(picture)
        self.context.emit(ImageReady(self.context.job_id, picture))

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started
