"""A running job: its clock, its events, its pictures; and each of its batches, of which several may run at a time.

A person who looks sees one batch after the other: the first that is not finished speaks for all, and pictures are
handed out in order, those of a faster batch after those of the slower one before it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from modules.contracts.events import ImageReady, Preview, StageStarted, StepDone
from modules.contracts.plan import GenerationPlan
from modules.contracts.result import Picture
from modules.contracts.run import RunContext


class BatchSkipped(Exception):
    """The current batch is left; the next one goes on. Never leaves the engine."""


class Run:
    """One call of `generate`. Safe from several threads."""

    def __init__(self, plan: GenerationPlan, context: RunContext) -> None:
        self.plan = plan
        self.context = context
        self.notes: list[str] = list(plan.notes)
        self.pictures: list[Picture] = []
        self.finished: set[int] = set()
        """Numbers of batches that are behind, skipped ones among them."""
        self.started = time.monotonic()
        self._lock = threading.RLock()
        self._active: dict[int, Strand] = {}
        self._held: dict[int, list[Picture]] = {}
        """Pictures of finished batches that wait for an earlier one."""
        self._behind = 0.0
        """Steps that were run here, those of batches that have ended."""
        self._stepping_since: float | None = None

    def note(self, sentence: str) -> None:
        """Tell the person something, once."""
        with self._lock:
            if sentence not in self.notes:
                self.notes.append(sentence)

    def loading(self, share: float) -> None:
        """A model is being read, `share` of it so far; may be called often."""
        self.context.check()
        if share == 0.0:
            number = min(set(range(len(self.plan.batches))) - self.finished, default=0)
            self.context.emit(StageStarted(self.context.job_id, "load", number, len(self.plan.batches)))

    @contextlib.contextmanager
    def batch_of(self, number: int) -> Iterator[Strand]:
        """One batch. A skipped one counts as finished; one that failed may be begun again."""
        strand = Strand(self, number)
        with self._lock:
            self._active[number] = strand
        try:
            yield strand
        except BatchSkipped:
            self.note(f"Batch {number + 1} was skipped.")
            strand.pictures.clear()
        except BaseException:
            self._end(strand)
            raise
        with self._lock:
            self.finished.add(number)
            self._held[number] = strand.pictures
            self._end(strand)
            self._hand_out()

    def _end(self, strand: Strand) -> None:
        with self._lock:
            self._active.pop(strand.batch, None)
            self._behind += strand.done

    def _hand_out(self, *, gaps: bool = False) -> None:
        """Deliver what no unfinished batch stands before; with `gaps` all that there is."""
        for number in sorted(self._held):
            if not gaps and not self.finished.issuperset(range(number)):
                return
            for picture in self._held.pop(number):
                self.pictures.append(picture)
                self.context.finished(picture)
                self.context.emit(ImageReady(self.context.job_id, picture))

    def close(self) -> None:
        """No batch goes on: hand out what waits for one that will never come."""
        with self._lock:
            self._hand_out(gaps=True)
            self.pictures.sort(key=lambda picture: picture.index)

    def leads(self, strand: Strand) -> bool:
        """Whether that batch is the first of those that run."""
        with self._lock:
            return strand.batch == min(self._active, default=strand.batch)

    def stepping(self) -> None:
        """A pass through the denoiser starts; the clock of the pace runs from the first."""
        with self._lock:
            if self._stepping_since is None:
                self._stepping_since = time.monotonic()

    def whereabouts(self, steps: int) -> tuple[float, float | None]:
        """(share of the job that is done, seconds left or None) with `steps` steps a batch."""
        with self._lock:
            batches = len(self.plan.batches)
            partly = sum(min(strand.done, steps) for strand in self._active.values())
            done = len(self.finished) * steps + partly
            behind = self._behind + sum(strand.done for strand in self._active.values())
            left = None
            if self._stepping_since is not None and behind > 0:
                pace = (time.monotonic() - self._stepping_since) / behind
                left = pace * max(steps * batches - done, 0)
            return min(done / (steps * batches), 1.0), left

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started


class Strand:
    """One batch of a run, used by one thread."""

    def __init__(self, run: Run, number: int) -> None:
        self.batch = number
        self.context = run.context
        self.pictures: list[Picture] = []
        self.run = run
        """The job's."""
        self.done = 0.0
        """Steps of this batch so far; a part of one where a sampler tells of it."""
        self._before = 0.0
        """Steps that ended with an earlier pass."""
        self._share = 1.0
        """What each step counts; less where several passes share the steps that were planned for one."""

    @property
    def notes(self) -> list[str]:
        """What the run told the person so far."""
        return self.run.notes

    def note(self, sentence: str) -> None:
        """Tell the person something, once in a job."""
        self.run.note(sentence)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage of the batch: check for cancellation and announce it."""
        self.check()
        if self.run.leads(self):
            self.context.emit(StageStarted(self.context.job_id, name, self.batch, len(self.run.plan.batches)))
        yield

    def check(self) -> None:
        """Raise `JobCancelled` or `BatchSkipped` when that was asked for; the batch that is shown is skipped."""
        self.context.check()
        if self.context.skipped.is_set() and self.run.leads(self):
            self.context.skipped.clear()
            raise BatchSkipped

    @contextlib.contextmanager
    def shared_by(self, passes: int, steps: int) -> Iterator[None]:
        """So many passes take the place of one of `steps` steps until the block ends; they may be none."""
        before = self.done
        self._share = 1 / max(passes, 1)
        try:
            yield
        finally:
            self._share = 1.0
        self.done = before + steps

    def begin_steps(self) -> None:
        """A pass through the denoiser starts."""
        self._before = self.done
        self.run.stepping()

    def step_done(self, done: float) -> None:
        """`done` of the steps of this pass are behind."""
        self.done = self._before + done * self._share
        batches = len(self.run.plan.batches)
        steps = max(self.run.plan.total_steps // batches, 1)
        progress, left = self.run.whereabouts(steps)
        if progress < 1 and not self.run.leads(self):
            return
        self.context.emit(StepDone(self.context.job_id, self._step, steps, self.batch, batches, progress, left))

    @property
    def shown(self) -> bool:
        """Whether a preview of this batch is the one to show."""
        return self.run.leads(self)

    @property
    def _step(self) -> int:
        return int(self.done + 1e-9)

    def preview(self, data: bytes, media_type: str) -> None:
        """Show how far it has come."""
        self.context.emit(Preview(self.context.job_id, self._step, data, media_type))

    def deliver(self, picture: Picture) -> None:
        """A picture is finished; it is handed out when its batch and those before it are."""
        self.pictures.append(picture)
