"""A lane: one thread that runs one job after another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from modules.call_queue.handle import Ticket
from modules.call_queue.store import Claim, JobStore
from modules.contracts.errors import JobCancelled as Cancelled
from modules.contracts.errors import StudioError, reason_of
from modules.contracts.events import JobCancelled, JobDone, JobFailed, JobStarted
from modules.contracts.jobs import JobState
from modules.contracts.pictures import PictureStore
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult, Picture
from modules.contracts.run import Engine, RunContext

log = logging.getLogger(__name__)
ANNOUNCEMENT_SECONDS = 10.0
"""How long a lane waits for a submitter to publish `JobQueued`; only a listener that hangs makes it that long."""


@dataclass(slots=True)
class Run:
    """One claimed job on its way through a lane."""

    claim: Claim
    ticket: Ticket
    lane: int
    context: RunContext = field(init=False)
    cancel_asked: bool = False
    """Somebody wants it to end."""
    requeue: bool = False
    """The studio closes: stop, and go on after the next start."""
    pictures: list[Picture] = field(default_factory=list)
    """What is finished so far."""

    def __post_init__(self) -> None:
        self.context = RunContext(self.claim.id, emit=self.ticket.publish)


class Conductor:
    """Runs a claimed job to its end: the one place where a job meets the engine, the gallery and the table."""

    def __init__(self, store: JobStore, pictures: PictureStore) -> None:
        self._store = store
        self._pictures = pictures

    def conduct(self, engine: Engine, run: Run) -> None:
        """Returns when the job has ended, or is queued again because the studio closes. Never raises `Exception`."""
        claim, ticket = run.claim, run.ticket
        ticket.announced.wait(ANNOUNCEMENT_SECONDS)
        ticket.publish(JobStarted(claim.id, lane=run.lane, attempt=claim.attempt))
        began = time.monotonic()
        try:
            result = self._draw(engine, run)
        except Cancelled:
            result = GenerationResult(tuple(run.pictures), {}, seconds=time.monotonic() - began, interrupted=True)
        except StudioError as error:
            self._fail(run, error)
            return
        except Exception as error:  # border 'lane': whatever a job does, the lane goes on with the next one
            log.exception("job %s failed in a way nobody foresaw", claim.id)
            self._fail(run, StudioError(f"The job stopped on an unexpected {type(error).__name__}; the log says more."))
            return
        self._settle(run, result, time.monotonic() - began)

    def _draw(self, engine: Engine, run: Run) -> GenerationResult:
        try:
            request = run.claim.request()
        except (ValueError, TypeError, KeyError) as error:
            raise StudioError(f"The stored job cannot be read by this version: {error}.") from error
        run.context.finished = self._sink(run, request)
        run.context.check()
        return engine.generate(request, run.context)

    def _sink(self, run: Run, request: GenerationRequest) -> Callable[[Picture], None]:
        """Where the engine puts finished pictures: the gallery when wanted, and what a cancelled job gives.

        Whoever submitted a job of an earlier process has no connection left, so its pictures are kept in any case:
        otherwise they would be drawn for nobody.
        """
        keep = request.output.save or run.ticket.inherited

        def finished(picture: Picture) -> None:
            if keep:
                try:
                    self._pictures.save(picture, job_id=run.claim.id, owner=run.claim.owner, output=request.output)
                except (OSError, SQLAlchemyError) as error:
                    log.exception("picture %d of job %s could not be saved", picture.index, run.claim.id)
                    raise StudioError(f"Picture {picture.index} could not be saved: {_reason(error)}.") from error
            run.pictures.append(picture)

        return finished

    def _settle(self, run: Run, result: GenerationResult, seconds: float) -> None:
        if not (result.interrupted and run.context.cancelled.is_set()):
            self._end(run, "done", JobDone(run.claim.id, seconds), result)
        elif run.requeue and not run.cancel_asked:
            self._put_back(run)
        else:
            self._end(run, "cancelled", JobCancelled(run.claim.id), result)

    def _put_back(self, run: Run) -> None:
        """Queue the job again. When the table does not take that, the next start does so, as after a crash."""
        try:
            self._store.release([run.claim.id])
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
    ) -> None:
        """Write the end down, then tell; a job that another hand has ended or queued again meanwhile is left alone."""
        try:
            written = self._store.finish(run.claim.id, state, pictures=len(run.pictures), error=stored)
        except SQLAlchemyError as error:
            log.exception("the end of job %s could not be stored", run.claim.id)
            reason = StudioError(f"The job ended, but that could not be stored: {_reason(error)}.")
            run.ticket.close(JobFailed(run.claim.id, reason.kind, reason.message), reason)
            return
        if written:
            run.ticket.close(event, outcome)


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
