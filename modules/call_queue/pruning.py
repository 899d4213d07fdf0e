"""How long ended jobs stay in the table. Their pictures stay in any case; jobs that wait or run are not touched, and
neither are those that their owners have bookmarked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, and_, delete, or_, select
from sqlalchemy.exc import SQLAlchemyError

from modules.call_queue.database import lock_for_writing
from modules.call_queue.inputs import forget
from modules.call_queue.tables import JOBS, LOG

log = logging.getLogger(__name__)
ENDED = ("done", "failed", "cancelled")
ENDED_UNMARKED = and_(JOBS.c.state.in_(ENDED), JOBS.c.ended.is_not(None), ~JOBS.c.bookmarked)
DAY = 86400.0
EVERY = 3600.0
"""Seconds between two passes."""
PORTION = 200
"""Rows that one transaction takes away, so that a large table does not keep lanes from writing for long."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of ended jobs; both bounds hold, and 0 is none."""

    days: float = 0.0
    """Since a job ended."""
    number: int = 0
    """The ones that ended last."""


def prune(engine: Engine, keep: Retention, now: float) -> int:
    """Take away ended jobs beyond the bounds, with their logs and the pictures that came with them.

    `now` is in seconds since 1970. Returns how many.
    """
    return _take_away(engine, _beyond(keep, now)) if keep.days or keep.number else 0


def clear(engine: Engine, owner: str | None) -> int:
    """Take away all ended jobs, of one owner when given, as `prune` does. Returns how many."""
    mine = ENDED_UNMARKED if owner is None else and_(ENDED_UNMARKED, JOBS.c.owner == owner)
    return _take_away(engine, select(JOBS.c.number, JOBS.c.id).where(mine).order_by(JOBS.c.number).limit(PORTION))


def _take_away(engine: Engine, next_portion: Any) -> int:
    count = 0
    while True:
        with engine.begin() as connection:
            lock_for_writing(connection)
            rows = connection.execute(next_portion).all()
            if rows:
                connection.execute(delete(LOG).where(LOG.c.job_id.in_([row.id for row in rows])))
                # A job that was taken up again meanwhile, by another process, is no ended one any more.
                forget(connection, [row.id for row in rows])
                numbers = [row.number for row in rows]
                connection.execute(delete(JOBS).where(JOBS.c.number.in_(numbers), JOBS.c.state.in_(ENDED)))
        count += len(rows)
        if len(rows) < PORTION:
            return count


def _beyond(keep: Retention, now: float) -> Any:
    """The next portion of jobs that may go, oldest first."""
    # Under a name of its own: otherwise the inner query would speak of the outer one's rows.
    other = JOBS.alias()
    latest = select(other.c.number).where(other.c.state.in_(ENDED), other.c.ended.is_not(None), ~other.c.bookmarked)
    latest = latest.order_by(other.c.ended.desc(), other.c.number.desc())
    reasons = []
    if keep.days:
        reasons.append(JOBS.c.ended < now - keep.days * DAY)
    if keep.number:
        reasons.append(JOBS.c.number.not_in(latest.limit(keep.number)))
    return select(JOBS.c.number, JOBS.c.id).where(ENDED_UNMARKED, or_(*reasons)).order_by(JOBS.c.ended).limit(PORTION)


class Pruner:
    """One thread that prunes at its start and every hour, by what `retention` says at that moment."""

    def __init__(
        self,
        engine: Engine,
        retention: Callable[[], Retention],
        clock: Callable[[], float] = time.time,
        every: float = EVERY,
        beside: Callable[[], object] | None = None,
    ) -> None:
        """`beside` is called with every pass, for what else of the same database is kept for a time only."""
        self._beside = beside
        self._engine, self._retention, self._clock, self._every = engine, retention, clock, every
        self._stopping = threading.Event()
        # A daemon, so that a database that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._live, name="queue-pruning", daemon=True)

    def start(self) -> None:
        """Start the thread; once only."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread and wait until it has, for `timeout` seconds at most."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _live(self) -> None:
        while not self._stopping.is_set():
            try:
                count = prune(self._engine, self._retention(), self._clock())
            except (SQLAlchemyError, OSError):
                log.exception("ended jobs could not be taken away; trying again in %.0f s", self._every)
            else:
                if count:
                    log.info("%d ended jobs were taken out of the table", count)
            self._take_away_beside()
            self._stopping.wait(self._every)

    def _take_away_beside(self) -> None:
        if self._beside is None:
            return
        try:
            self._beside()
        except (SQLAlchemyError, OSError):
            log.exception("what is kept beside jobs could not be taken away; trying again in %.0f s", self._every)
