"""The order of waiting jobs as people change it: moved, held back, weighted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, and_, select, update

from modules.call_queue.database import insert_or_leave, lock_for_writing
from modules.call_queue.shares import ONLY, READY, awaken, schedule
from modules.call_queue.tables import JOBS, SCHEDULE, SHARES
from modules.contracts.errors import InvalidRequest

GAP = 1e-3
"""Seconds between two places that are handed out side by side."""


class Ordering:
    """The part of `JobStore` that changes when a job is started, and nothing else of it."""

    engine: Engine
    clock: Callable[[], float]

    def move(self, job_id: str, *, before: str | None = None, after: str | None = None, front: bool = True) -> bool:
        """Put a waiting job before or after another one of its owner, else to the front or the back of that owner's.

        False when the job does not wait. Raises `InvalidRequest` when both are given, or the other one is the job
        itself, does not wait, or belongs to somebody else: the order between owners is made by fairness.
        """
        if before is not None and after is not None:
            raise InvalidRequest("A job is moved before one or after one; both were given.")
        other = before if before is not None else after
        if other == job_id:
            raise InvalidRequest("A job cannot be moved before or after itself.")
        with self.engine.begin() as connection:
            lock_for_writing(connection)
            job = _waiting(connection, job_id)
            if job is None:
                return False
            queue = _queue_of(connection, job.owner)
            if other is None:
                target = 0 if front else len(queue) - 1
            else:
                target = _beside(queue, job, other, behind=before is None)
            line = [row for row in queue if row.number != job.number]
            line.insert(target, job)
            _settle_in(connection, line, target)
        return True

    def pause(self, job_id: str) -> bool:
        """Hold a waiting job back; False when it does not wait or is held back already."""
        which = and_(JOBS.c.id == job_id, READY)
        with self.engine.begin() as connection:
            return connection.execute(update(JOBS).where(which).values(paused=True)).rowcount == 1

    def resume(self, job_id: str) -> bool:
        """Let a job that was held back take its place again; False when it was not."""
        which = and_(JOBS.c.id == job_id, JOBS.c.state == "queued", JOBS.c.paused)
        with self.engine.begin() as connection:
            lock_for_writing(connection)
            owner = connection.execute(select(JOBS.c.owner).where(which).with_for_update()).scalar()
            if owner is None:
                return False
            awaken(connection, owner)
            connection.execute(update(JOBS).where(which).values(paused=False))
        return True

    def hold(self, paused: bool) -> bool:
        """Start no more jobs, or start them again; False when that was so already. Survives a restart."""
        which = and_(SCHEDULE.c.number == ONLY, SCHEDULE.c.paused != paused)
        with self.engine.begin() as connection:
            return connection.execute(update(SCHEDULE).where(which).values(paused=paused)).rowcount == 1

    def held(self) -> bool:
        """No more jobs are started."""
        with self.engine.connect() as connection:
            return bool(schedule(connection).paused)

    def set_weight(self, owner: str, weight: float) -> None:
        """How much of the lanes is due to that owner. Raises `InvalidRequest` unless it is a number above 0."""
        if not (math.isfinite(weight) and weight > 0):
            raise InvalidRequest(f"The weight of an owner is a number above 0; {weight} was given.")
        with self.engine.begin() as connection:
            lock_for_writing(connection)
            fresh = {"owner": owner, "tag": schedule(connection).virtual, "weight": weight, "used": 0.0}
            connection.execute(insert_or_leave(connection, SHARES).values(fresh))
            connection.execute(update(SHARES).where(SHARES.c.owner == owner).values(weight=weight))


def _waiting(connection: Connection, job_id: str) -> Any:
    query = select(JOBS.c.number, JOBS.c.id, JOBS.c.owner, JOBS.c.place)
    return connection.execute(query.where(JOBS.c.id == job_id, JOBS.c.state == "queued").with_for_update()).first()


def _queue_of(connection: Connection, owner: str) -> list[Any]:
    """What that owner has waiting, in order, held-back jobs included."""
    query = select(JOBS.c.number, JOBS.c.id, JOBS.c.owner, JOBS.c.place)
    mine = query.where(JOBS.c.owner == owner, JOBS.c.state == "queued").order_by(JOBS.c.place, JOBS.c.number)
    return list(connection.execute(mine.with_for_update()))


def _beside(queue: list[Any], job: Any, other: str, *, behind: bool) -> int:
    rest = [row.id for row in queue if row.number != job.number]
    if other not in rest:
        raise InvalidRequest(f"Job {other!r} does not wait among the jobs of the same owner.")
    return rest.index(other) + behind


def _settle_in(connection: Connection, line: list[Any], at: int) -> None:
    """Give the job at that point of the line a place between its neighbours, moving those apart when it must."""
    low: float | None = line[at - 1].place if at > 0 else None
    high: float | None = line[at + 1].place if at + 1 < len(line) else None
    if low is None:
        if high is None:
            return
        place = high - GAP
    elif high is None:
        place = low + GAP
    else:
        place = (low + high) / 2
        if not low < place < high:
            # Neighbours from the same moment: everybody behind is moved back by little, in the order of the line.
            for step, row in enumerate(line[at:], start=1):
                moved = max(row.place, low + GAP * step) if step > 1 else low + GAP
                if moved != row.place or step == 1:
                    connection.execute(update(JOBS).where(JOBS.c.number == row.number).values(place=moved))
            return
    connection.execute(update(JOBS).where(JOBS.c.number == line[at].number).values(place=place))
