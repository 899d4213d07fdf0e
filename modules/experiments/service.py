"""The studio's experiments: foreseen, started, gone on with after a crash, and their results handed out."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from modules.contracts.cost import pictures_of, work_of
from modules.contracts.errors import InvalidRequest, NotReady, StudioError, UnknownName
from modules.contracts.experiments import (
    CellRecord,
    Experiment,
    ExperimentRecord,
    Foreseen,
    Keeping,
    Memory,
)
from modules.contracts.jobs import JobQueue
from modules.contracts.pictures import PictureStore
from modules.contracts.request import GenerationRequest
from modules.experiments.cells import digest_of, draw_order, expand
from modules.experiments.marks import Marks
from modules.experiments.results import Results
from modules.experiments.run import Run, known_job
from modules.experiments.store import SERVER, TERMINAL, ExperimentStore
from modules.support.bus import EventBus

log = logging.getLogger(__name__)
STOP_SECONDS = 5.0
MOST_OF_A_JOB = 1024
"""Pictures of one job that are taken away with an experiment."""
DEEPLY_PLANNED = 64
"""Cells, the dearest ones, whose memory is foreseen."""


def _unknown(request: GenerationRequest) -> int | None:
    """Of a studio without an engine."""
    return None


class ExperimentService:
    """`modules.contracts.experiments.Experiments` over a queue, a gallery and a table of its own."""

    def __init__(
        self,
        store: ExperimentStore,
        queue: JobQueue,
        pictures: PictureStore,
        bus: EventBus,
        marks: Marks,
        *,
        memory: Memory = _unknown,
        keeper: str = SERVER,
    ) -> None:
        """`marks` tells what an owner's request leaves to files and settings, see `modules.experiments.marks`."""
        self._store, self._queue, self._pictures = store, queue, pictures
        self._marks, self._memory, self._keeper = marks, memory, keeper
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._leaving: dict[str, bool] = {}
        """Experiments that go once they have ended, and whether their pictures go with them."""
        self._stopping = False
        self._results = Results(pictures)
        self._unsubscribe = bus.subscribe(self._hear)

    def start_all(self) -> None:
        """Go on with what an earlier server left; a terminal asks for what it wants itself. Returns at once."""
        if self._keeper == TERMINAL:
            return
        for experiment_id in self._store.unfinished(self._keeper):
            try:
                self._run(experiment_id)
            except StudioError as error:
                log.error("experiment %s cannot go on: %s", experiment_id, error.message)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Leave everything as it stands; safe to call twice. To be called before the queue stops."""
        with self._lock:
            self._stopping = True
            runs = list(self._runs.values())
        self._unsubscribe()
        for run in runs:
            run.stop(timeout)

    def foresee(self, experiment: Experiment, owner: str) -> Foreseen:
        """What it would take, storing and drawing nothing. Raises as `start` does."""
        cells = draw_order(experiment, expand(experiment))
        marked = partial(self._marks_of, owner)
        seen: set[str] = set()
        missing = []
        for cell in cells:
            digest = digest_of(cell.request, marked)
            if digest not in seen and known_job(self._store, self._pictures, owner, digest) is None:
                missing.append(cell.request)
            seen.add(digest)
        dearest = sorted(missing, key=work_of, reverse=True)[:DEEPLY_PLANNED]
        peaks = [peak for peak in map(self._memory, dearest) if peak is not None]
        return Foreseen(
            cells=len(cells),
            cached=len(cells) - len(missing),
            pictures=sum(map(pictures_of, missing)),
            megapixel_steps=sum(map(work_of, missing)),
            seconds=self._queue.foresee(missing),
            memory=max(peaks, default=None),
        )

    def start(self, experiment: Experiment, owner: str) -> ExperimentRecord:
        """Store it and begin. Raises `InvalidRequest` for a cell that is out of bounds, before storing anything.

        What keeps the first job out, such as a model that is not there, is raised as well; of later cells each fails by
        itself.
        """
        cells = expand(experiment)
        self._check_open()
        self._queue.check(draw_order(experiment, cells)[0].request, owner)
        marked = partial(self._marks_of, owner)
        experiment_id = uuid.uuid4().hex
        digests = ((cell.position, digest_of(cell.request, marked)) for cell in cells)
        self._store.add(experiment_id, owner, self._keeper, experiment, digests)
        self._run(experiment_id)
        return self._found(experiment_id)

    def get(self, experiment_id: str) -> ExperimentRecord | None:
        """The experiment of that id."""
        return self._store.get(experiment_id)

    def list(self, *, owner: str | None = None, limit: int = 100) -> Sequence[ExperimentRecord]:
        """Newest first; of one owner when given."""
        return self._store.recent(owner, limit)

    def cells(self, experiment_id: str) -> Sequence[CellRecord]:
        """All cells that are not excluded, in order of position."""
        record = self._store.get(experiment_id)
        return [] if record is None else self._cells(record)

    def cancel(self, experiment_id: str) -> bool:
        """Leave out what is not drawn yet, and stop what is being drawn; False when it had ended or is not known."""
        if self._store.state(experiment_id) != "running":
            return False
        with self._lock:
            run = self._runs.get(experiment_id)
        if run is not None:
            run.cancel()
            return True
        self._store.leave_out(experiment_id)
        return self._store.end(experiment_id, "cancelled")  # whichever process runs it will see

    def resume(self, experiment_id: str) -> bool:
        """Draw what failed or was cancelled once more, and of a stopped one the rest; False when there is nothing."""
        self._check_open()
        if self._store.state(experiment_id) in (None, "running"):
            return False
        if not self._store.reopen(experiment_id, self._keeper):
            return False
        self._run(experiment_id)
        return True

    def remove(self, experiment_id: str, *, pictures: bool = False) -> bool:
        """Take an experiment away; False when it is not known. One that runs is cancelled and goes when it has ended.

        With `pictures` those that it has drawn go too, as far as no other experiment shows them. Raises
        `InvalidRequest` for one that another process draws.
        """
        record = self._store.get(experiment_id)
        if record is None:
            return False
        with self._lock:
            run = self._runs.get(experiment_id)
            alive = run is not None and not run.ended.is_set()
            if alive:
                self._leaving[experiment_id] = pictures
        if run is not None and alive:
            run.cancel()
        elif record.state == "running":
            raise InvalidRequest("Another process draws this experiment; cancel it, and remove it when it has ended.")
        self._leave(experiment_id, pictures=pictures)
        return True

    def prune(self, keep: Keeping, owner: str | None = None) -> int:
        """Take away what has ended, of one owner when given, beyond these bounds. Returns how many."""
        beyond = self._store.beyond(keep, owner) if keep.days or keep.number else []
        return sum(self._leave(experiment_id, pictures=keep.pictures) for experiment_id in beyond)

    def _leave(self, experiment_id: str, *, pictures: bool) -> bool:
        """Take it away unless it is drawn; False then. Two may ask at once, and one of them finds nothing left.

        A picture that cannot be deleted stays in the gallery, where it can be deleted by hand.
        """
        record = self._store.get(experiment_id)
        if record is None or record.state == "running":
            return False
        pictures = pictures or not record.experiment.base.output.save
        jobs = self._store.remove(experiment_id, pictures=pictures)
        if pictures:
            for job_id in jobs:
                for row in self._pictures.list(job_id=job_id, limit=MOST_OF_A_JOB):
                    self._delete(row.id)
        return True

    def _delete(self, picture_id: str) -> None:
        try:
            self._pictures.delete(picture_id)
        except OSError as error:
            log.warning("picture %s of an experiment stays, since it cannot be deleted: %s", picture_id, error)

    def _after(self, experiment_id: str) -> None:
        """A run has ended; one that was to leave does so."""
        with self._lock:
            pictures = self._leaving.pop(experiment_id, None)
        if pictures is not None:
            self._leave(experiment_id, pictures=pictures)

    def wait(self, experiment_id: str, timeout: float | None = None) -> ExperimentRecord:
        """Block until it has ended. Raises `TimeoutError`, and `NotReady` when the studio closes."""
        with self._lock:
            run = self._runs.get(experiment_id)
        if run is not None and not run.ended.wait(timeout):
            raise TimeoutError(f"Experiment {experiment_id} has not ended after {timeout} seconds.")
        record = self._found(experiment_id)
        if record.state == "running":
            raise NotReady(f"The studio closed before experiment {experiment_id} ended; it goes on at the next start.")
        return record

    def file(self, experiment_id: str, name: str) -> tuple[bytes, str]:
        """A file of the results and its media type. Raises `UnknownName` for a name that `files` does not give."""
        record = self._found(experiment_id)
        return self._results.file(record, self._cells(record), name)

    def files(self, experiment_id: str) -> Sequence[str]:
        """Names that `file` gives."""
        record = self._found(experiment_id)
        return self._results.files(record, self._cells(record))

    def _hear(self, event: Any) -> None:
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.hear(event)

    def _run(self, experiment_id: str) -> None:
        run = Run(self._found(experiment_id), self._store, self._queue, self._pictures, self._after)
        with self._lock:
            if self._stopping:
                return
            self._runs = {key: one for key, one in self._runs.items() if not one.ended.is_set()} | {experiment_id: run}
        run.start()

    def _cells(self, record: ExperimentRecord) -> Sequence[CellRecord]:
        places = [len(axis.values) for axis in record.experiment.axes]
        return [
            CellRecord(row.position, _place(row.position, places), row.state, row.job_id, row.cached, row.error)
            for row in self._store.cells(record.id)
        ]

    def _found(self, experiment_id: str) -> ExperimentRecord:
        record = self._store.get(experiment_id)
        if record is None:
            raise UnknownName(f"There is no experiment {experiment_id[:64]!r}.")
        return record

    def _marks_of(self, owner: str, request: GenerationRequest) -> Mapping[str, Any]:
        return self._marks(request, owner)

    def _check_open(self) -> None:
        if self._stopping:
            raise NotReady("The studio is closing and begins no more experiments.")


def _place(position: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Index on each axis, the first axis fastest."""
    place = []
    for size in sizes:
        position, index = divmod(position, size)
        place.append(index)
    return tuple(place)
