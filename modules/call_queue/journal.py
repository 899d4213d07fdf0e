"""What a job said while it ran, in the database line by line, so that it can be read after the process has died."""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import Engine, Insert, bindparam, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from modules.call_queue.tables import LOG
from modules.contracts.jobs import LogLine

LINES = 500
"""Of one job; what comes after is dropped, so that a job that talks without end fills no disk."""
LENGTH = 4000
"""Characters of a line."""

_talking: contextvars.ContextVar[tuple[Journal, str, int] | None] = contextvars.ContextVar("talking", default=None)


class Journal:
    """Keeps lines by job. Safe from any thread."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def write(self, job_id: str, attempt: int, level: str, text: str) -> None:
        """Keep a line; it is on its way to the disk when this returns."""
        line = {"job_id": job_id, "attempt": attempt, "moment": self._clock(), "level": level, "text": text[:LENGTH]}
        with self._engine.begin() as connection:
            connection.execute(_adding(tuple(line)), {**line, "most": LINES})

    def read(self, job_id: str) -> list[LogLine]:
        """All lines of a job, oldest first."""
        query = select(LOG).where(LOG.c.job_id == job_id).order_by(LOG.c.number)
        with self._engine.connect() as connection:
            return [
                LogLine(datetime.fromtimestamp(row.moment, UTC), row.attempt, row.level, row.text)
                for row in connection.execute(query)
            ]

    def forget(self, job_id: str) -> None:
        """Drop the lines of a job."""
        with self._engine.begin() as connection:
            connection.execute(delete(LOG).where(LOG.c.job_id == job_id))


@cache
def _adding(names: tuple[str, ...]) -> Insert:
    """Built once: that takes longer than running it."""
    given = {name: bindparam(name, type_=LOG.c[name].type) for name in names}
    there = select(func.count()).select_from(LOG).where(LOG.c.job_id == given["job_id"]).scalar_subquery()
    return insert(LOG).from_select(names, select(*given.values()).where(there < bindparam("most")))


@contextmanager
def talking(journal: Journal, job_id: str, attempt: int) -> Iterator[None]:
    """What this thread logs within belongs to that job."""
    token = _talking.set((journal, job_id, attempt))
    try:
        yield
    finally:
        _talking.reset(token)


class JournalHandler(logging.Handler):
    """Copies what a lane logs, from INFO on, into the journal of the job that it runs."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line. A database that does not take it must not end a job: that is reported like any handler's."""
        job = _talking.get()
        if job is None or job[0] is not self._journal:
            return
        token = _talking.set(None)  # what the database logs on the way is not the job's
        try:
            self._journal.write(*job[1:], record.levelname.lower(), self.format(record))
        except SQLAlchemyError:
            self.handleError(record)
        finally:
            _talking.reset(token)
