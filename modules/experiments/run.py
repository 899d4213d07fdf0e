"""One experiment while it is drawn: which of its cells are in the queue, and which come next."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from modules.contracts.errors import NotReady, OverLimit, StudioError
from modules.contracts.events import TERMINAL, Event, JobCancelled, JobFailed
from modules.contracts.experiments import Cell, CellState, ExperimentRecord
from modules.contracts.jobs import JobQueue
from modules.contracts.pictures import PictureStore
from modules.experiments.cells import draw_order, expand
from modules.experiments.store import OPEN, CellRow, ExperimentStore

log = logging.getLogger(__name__)
WINDOW = 32
"""Cells that are in the queue at a time: enough for every lane to find a neighbour, and no flood for others."""
LOOK_SECONDS = 5.0
"""How often a run looks by itself, for what no event of this process told it."""
RETRY_SECONDS = 30.0
"""At most so long it waits before it asks a full queue again."""
NO_PICTURE = "The job ended without a picture."


class Run:
    """Draws the missing cells of one experiment in a thread of its own, until none is left, cancelled or stopped."""

    def __init__(
        self,
        record: ExperimentRecord,
        store: ExperimentStore,
        queue: JobQueue,
        pictures: PictureStore,
        after: Callable[[str], None],
    ) -> None:
        """`after` is told the id in the run's thread once nothing of it is left to be drawn."""
        self._after = after
        self._beaten = 0.0
        """When the table was told last that somebody is at it, of `time.monotonic`."""
        self.id, self._owner = record.id, record.owner
        self._store, self._queue, self._pictures = store, queue, pictures
        experiment = record.experiment
        self._order: list[Cell] = draw_order(experiment, expand(experiment))
        self._change = threading.Condition()
        self._told: deque[Event] = deque()
        self._flying: dict[str, CellRow] = {}
        """Cells by their jobs, as long as these have not ended."""
        self._stopping = self._cancelling = False
        self._again = 0.0
        """When a full queue may be asked once more, of `time.monotonic`."""
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"experiment-{self.id[:8]}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def hear(self, event: Event) -> None:
        """Note the end of a job; called for every event of the bus, so it is quick."""
        if isinstance(event, TERMINAL):
            with self._change:
                if event.job_id in self._flying:
                    self._told.append(event)
                    self._change.notify_all()

    def cancel(self) -> None:
        """Leave out what is not drawn yet."""
        with self._change:
            self._cancelling = True
            self._change.notify_all()

    def stop(self, timeout: float) -> None:
        """Leave everything as it stands; the next start goes on."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join(timeout)

    def _work(self) -> None:
        try:
            self._take_up()
            ended = False
            while not self._stopping and not ended:
                ended = self._turn()
            if ended:
                self._after(self.id)
        except SQLAlchemyError:
            log.exception("experiment %s stands still until the next start: its table does not answer", self.id)
        finally:
            self.ended.set()

    def _take_up(self) -> None:
        """Find the jobs again that an earlier run has written down."""
        for row in self._store.cells(self.id, ("queued",)):
            if row.job_id is not None:
                self._follow(row.job_id, row)

    def _turn(self) -> bool:
        """Settle what has ended, fill the queue, and wait for news; True when nothing is left to do."""
        if not self._beaten or time.monotonic() - self._beaten >= LOOK_SECONDS:
            self._store.beat(self.id)
            self._beaten = time.monotonic()
        self._settle()
        cancelling = self._cancelling
        if cancelling or self._store.state(self.id) == "cancelled":
            self._store.leave_out(self.id)
            for job_id in list(self._flying):
                self._queue.cancel(job_id)
        else:
            self._fill()
        if not self._flying and not self._store.cells(self.id, OPEN):
            self._store.end(self.id, "cancelled" if cancelling else "done")
            return True
        with self._change:
            # Who cancels while the queue is filled has notified nobody.
            if not (self._told or self._stopping or self._cancelling != cancelling):
                self._change.wait(self._patience())
        return False

    def _patience(self) -> float:
        return max(min(LOOK_SECONDS, self._again - time.monotonic()), 0.05) if self._again else LOOK_SECONDS

    def _settle(self) -> None:
        with self._change:
            told, look = list(self._told), not self._told
            self._told.clear()
        for event in told:
            self._end(event.job_id, *_outcome(event))
        if look:
            for job_id, row in list(self._flying.items()):
                self._look_after(job_id, row)

    def _look_after(self, job_id: str, row: CellRow) -> None:
        """Ask the table of jobs about one of which no event told."""
        record = self._queue.get(job_id)
        if record is None:
            if self._pictures.count(job_id=job_id):
                self._end(job_id, "done", None)
            else:  # written down and never stored, because the process died between the two
                self._forget(job_id)
                self._store.change(self.id, row.position, "queued", state="waiting", job_id=None)
        elif record.state == "failed":
            self._end(job_id, "failed", record.error)
        elif record.state in ("done", "cancelled"):
            self._end(job_id, "done" if record.state == "done" else "cancelled", None)

    def _end(self, job_id: str, state: CellState, error: str | None) -> None:
        row = self._forget(job_id)
        if row is None:
            return
        if state == "done" and not self._pictures.count(job_id=job_id):
            state, error = "failed", NO_PICTURE
        self._store.change(self.id, row.position, "queued", state=state, error=error)

    def _follow(self, job_id: str, row: CellRow) -> None:
        with self._change:
            self._flying[job_id] = row

    def _forget(self, job_id: str) -> CellRow | None:
        with self._change:
            return self._flying.pop(job_id, None)

    def _fill(self) -> None:
        """Put waiting cells into the queue, those that were drawn before aside."""
        if len(self._flying) > WINDOW // 2 or time.monotonic() < self._again:
            return
        self._again = 0.0
        rows = {row.position: row for row in self._store.cells(self.id, OPEN)}
        drawn_now = {row.digest for row in rows.values() if row.state == "queued"}
        for cell in self._order:
            row = rows.get(cell.position)
            if row is None or row.state != "waiting" or row.digest in drawn_now:
                continue  # the same recipe twice: the second cell takes the picture of the first
            if len(self._flying) >= WINDOW or self._stopping or self._cancelling:
                return
            if self._known(row):
                continue
            if not self._submit(cell, row):
                return
            drawn_now.add(row.digest)

    def _known(self, row: CellRow) -> bool:
        """Take the pictures of a job that has drawn the same before, if they are still there."""
        found = known_job(self._store, self._pictures, self._owner, row.digest)
        if found is None:
            return False
        self._store.change(self.id, row.position, "waiting", state="done", job_id=found, cached=True)
        return True

    def _submit(self, cell: Cell, row: CellRow) -> bool:
        """One cell as a job; False when the queue takes no more for now."""
        job_id = uuid.uuid4().hex
        if not self._store.change(self.id, row.position, "waiting", state="queued", job_id=job_id):
            return True  # another process of the same database has taken it
        self._follow(job_id, row)
        try:
            self._queue.submit(cell.request, self._owner, job_id=job_id)
        except (OverLimit, NotReady) as error:
            self._forget(job_id)
            self._store.change(self.id, row.position, "queued", state="waiting", job_id=None)
            self._again = time.monotonic() + min(getattr(error, "retry_after", RETRY_SECONDS), RETRY_SECONDS)
            return False
        except StudioError as error:
            self._end(job_id, "failed", error.message)
        return True


def known_job(store: ExperimentStore, pictures: PictureStore, owner: str, digest: str) -> str | None:
    """A job of that owner that has drawn a cell of that digest and whose pictures are in the gallery still."""
    return next((job_id for job_id in store.drawn(owner, digest) if pictures.count(job_id=job_id)), None)


def _outcome(event: Event) -> tuple[CellState, str | None]:
    if isinstance(event, JobFailed):
        return "failed", event.message
    return ("cancelled" if isinstance(event, JobCancelled) else "done"), None
