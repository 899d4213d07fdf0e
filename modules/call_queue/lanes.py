"""A lane: one thread that runs one job after another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from modules.call_queue.estimates import measure
from modules.call_queue.handle import STATES, Ticket
from modules.call_queue.journal import talking
from modules.call_queue.store import Claim, JobStore
from modules.contracts.cost import models_of
from modules.contracts.errors import JobCancelled as Cancelled
from modules.contracts.errors import StudioError, TimedOut, reason_of
from modules.contracts.events import (
    Event,
    ImageReady,
    JobCancelled,
    JobDone,
    JobFailed,
    JobPaused,
    JobStarted,
    Preview,
    StageStarted,
)
from modules.contracts.jobs import JobState
from modules.contracts.pictures import PictureStore
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult, Picture
from modules.contracts.run import Engine, RunContext
from modules.support.log import about

log = logging.getLogger(__name__)
ANNOUNCEMENT_SECONDS = 10.0
"""How long a lane waits for a submitter to publish `JobQueued`; only a listener that hangs makes it that long."""


@dataclass(slots=True)
class Run:
    """One claimed job on its way through a lane."""

    claim: Claim
    ticket: Ticket
    lane: int
    began: float = 0.0
    """When it was taken, in seconds since 1970."""
    models: set[str] = field(init=False, default_factory=set)
    """What it has in memory: its model, and once the request was read a refiner, too."""
    company: int = 1
    """The most lanes that ran at a time while this one did."""
    context: RunContext = field(init=False)
    cancel_asked: bool = False
    """Somebody wants it to end."""
    overdue: TimedOut | None = None
    """Its time is up."""
    pause_asked: bool = False
    """Somebody wants it to stop and to wait until it is resumed."""
    requeue: bool = False
    """The studio closes: stop, and go on after the next start."""
    pictures: list[Picture] = field(default_factory=list)
    """What is finished so far."""
    look: bytes | None = None
    """The last preview of the picture that is not finished."""
    loading: float = 0.0
    """Seconds that went into loading models."""

    def __post_init__(self) -> None:
        # A job that keeps its unfinished picture keeps the last preview, so that has to be made.
        keeps = self.claim.keep_partial
        self.context = RunContext(
            self.claim.id, emit=self.ticket.publish, watched=lambda: keeps or self.ticket.watched()
        )


class Conductor:
    """Runs a claimed job to its end: the one place where a job meets the engine, the gallery and the table."""

    def __init__(self, store: JobStore, pictures: PictureStore) -> None:
        self._store = store
        self._pictures = pictures

    def conduct(self, engine: Engine, run: Run) -> None:
        """Returns when the job has ended, or is queued again because the studio closes or somebody holds it back.

        Never raises `Exception`.
        """
        claim, ticket = run.claim, run.ticket
        began = time.monotonic()
        with about(**{**ticket.tags, "job_id": claim.id}):
            ticket.announced.wait(ANNOUNCEMENT_SECONDS)
            ticket.publish(JobStarted(claim.id, lane=run.lane, attempt=claim.attempt))
            with talking(self._store.journal, claim.id, claim.attempt):
                self._conduct(engine, run)
            state = "queued" if ticket.terminal is None else STATES[type(ticket.terminal)]
            facts = {"state": state, "lane": run.lane, "attempt": claim.attempt, "pictures": len(run.pictures)}
            seconds = round(time.monotonic() - began, 3)
            log.info("job %s is %s after %.2f s", claim.id, state, seconds, extra={**facts, "seconds": seconds})

    def _conduct(self, engine: Engine, run: Run) -> None:
        began = time.monotonic()
        try:
            request = self._read(run)
            result = self._draw(engine, run, request)
        except Cancelled:
            result = GenerationResult(tuple(run.pictures), {}, seconds=time.monotonic() - began, interrupted=True)
        except StudioError as error:
            self._write(run, f"The job failed: {error.message}")
            self._fail(run, error)
            return
        except Exception as error:  # border 'lane': whatever a job does, the lane goes on with the next one
            log.exception("job %s failed in a way nobody foresaw", run.claim.id)
            self._fail(run, StudioError(f"The job stopped on an unexpected {type(error).__name__}; the log says more."))
            return
        seconds = time.monotonic() - began
        self._settle(run, result, seconds)
        if not result.interrupted:
            # Nobody has to wait for this.
            self._learn(run, request, result, seconds - run.loading)

    def _read(self, run: Run) -> GenerationRequest:
        try:
            request = run.claim.request()
        except (ValueError, TypeError, KeyError) as error:
            raise StudioError(f"The stored job cannot be read by this version: {error}.") from error
        run.models.update(models_of(request))
        return request

    def _draw(self, engine: Engine, run: Run, request: GenerationRequest) -> GenerationResult:
        run.context.finished = self._sink(run, request)
        run.context.emit = Ear(run, lambda text: self._write(run, text)).hear
        run.context.check()
        return engine.generate(request, run.context)

    def _write(self, run: Run, text: str) -> None:
        """A line for the job's log, which is there for the case that the process dies next."""
        try:
            self._store.journal.write(run.claim.id, run.claim.attempt, "info", text)
        except SQLAlchemyError:
            log.exception("the log of job %s could not be kept", run.claim.id)

    def _learn(self, run: Run, request: GenerationRequest, result: GenerationResult, seconds: float) -> None:
        """Remember what this machine took. That it could not be kept is no reason to fail a job that is done."""
        measured = measure(request, result, seconds, run.company)
        if measured is None:
            return
        try:
            self._store.learn(run.claim, measured)
        except SQLAlchemyError:
            log.exception("what job %s took could not be kept", run.claim.id)

    def _sink(self, run: Run, request: GenerationRequest) -> Callable[[Picture], None]:
        """Where the engine puts finished pictures: the gallery when wanted, and what a cancelled job gives.

        Whoever submitted a job of an earlier process has no connection left, so its pictures are kept in any case:
        otherwise they would be drawn for nobody.
        """
        keep = _saves(run, request)

        def finished(picture: Picture) -> None:
            if keep:
                self._save(run, request, picture)
            run.pictures.append(picture)

        return finished

    def _save(self, run: Run, request: GenerationRequest, picture: Picture) -> None:
        try:
            self._pictures.save(
                picture,
                job_id=run.claim.id,
                owner=run.claim.owner,
                output=request.output,
                own=dict(request.own),
            )
        except (OSError, SQLAlchemyError) as error:
            log.exception("picture %d of job %s could not be saved", picture.index, run.claim.id)
            raise StudioError(f"Picture {picture.index} could not be saved: {_reason(error)}.") from error

    def _settle(self, run: Run, result: GenerationResult, seconds: float) -> None:
        if not (result.interrupted and run.context.cancelled.is_set()):
            self._end(run, "done", JobDone(run.claim.id, seconds), result)
        elif run.cancel_asked:
            self._cancel(run, result)
        elif run.overdue is not None:
            self._fail(run, run.overdue)
        elif run.pause_asked:
            self._put_back(run, pause=True)
            run.ticket.publish(JobPaused(run.claim.id))
        elif run.requeue:
            self._put_back(run)
        else:
            self._cancel(run, result)

    def _cancel(self, run: Run, result: GenerationResult) -> None:
        claim, partial = run.claim, None
        if claim.keep_partial:
            partial = run.look
            try:
                request = claim.request()
                for picture in () if _saves(run, request) else run.pictures:
                    self._save(run, request, picture)
            except StudioError as error:
                self._write(run, f"What was finished could not be kept: {error.message}")
        self._end(run, "cancelled", JobCancelled(claim.id), result, partial=partial)

    def _put_back(self, run: Run, *, pause: bool = False) -> None:
        """Queue the job again. When the table does not take that, the next start does so, as after a crash."""
        try:
            self._store.release([run.claim.id], pause=pause)
        except SQLAlchemyError:
            log.exception("job %s could not be put back into the queue", run.claim.id)

    def _fail(self, run: Run, error: StudioError) -> None:
        event = JobFailed(run.claim.id, error.kind, error.message)
        self._end(run, "failed", event, error, stored=(error.kind, error.message))

    def _end(
        self,
        run: Run,
        state: JobState,
        event: JobDone | JobFailed | JobCancelled,
        outcome: GenerationResult | StudioError,
        stored: tuple[str, str] | None = None,
        partial: bytes | None = None,
    ) -> None:
        """Write the end down, then tell; a job that another hand has ended or queued again meanwhile is left alone."""
        try:
            written = self._store.finish(
                run.claim.id,
                state,
                pictures=len(run.pictures),
                error=stored,
                claim=run.claim,
                partial=partial,
            )
        except SQLAlchemyError as error:
            log.exception("the end of job %s could not be stored", run.claim.id)
            reason = StudioError(f"The job ended, but that could not be stored: {_reason(error)}.")
            run.ticket.close(JobFailed(run.claim.id, reason.kind, reason.message), reason)
            return
        if written:
            run.ticket.close(event, outcome)


class Ear:
    """Hears what a running job says on its way to the bus: its stages for the log, loading time, the last preview."""

    def __init__(self, run: Run, write: Callable[[str], None]) -> None:
        self._run = run
        self._write = write
        self._loading_since: float | None = None

    def hear(self, event: Event) -> None:
        """Take note and pass on."""
        if isinstance(event, StageStarted):
            now = time.monotonic()
            if self._loading_since is not None:
                self._run.loading += now - self._loading_since
            self._loading_since = now if event.stage == "load" else None
            self._write(f"Stage {event.stage}, batch {event.batch + 1} of {event.batches}.")
        elif isinstance(event, Preview):
            self._run.look = event.data
        elif isinstance(event, ImageReady):
            self._run.look = None
        self._run.ticket.publish(event)


def _saves(run: Run, request: GenerationRequest) -> bool:
    return request.output.save or run.ticket.inherited


def _reason(error: OSError | SQLAlchemyError) -> str:
    """Why, in words for clients: what the system says without the path, and never the statement that failed."""
    if isinstance(error, OSError):
        return reason_of(error)
    return "the database did not take it; the log says more"


def start_lane(index: int, work: Callable[[int], None]) -> threading.Thread:
    """A started daemon thread for one lane: a job that hangs must not keep the process from ending."""
    thread = threading.Thread(target=work, args=(index,), name=f"lane-{index}", daemon=True)
    thread.start()
    return thread
