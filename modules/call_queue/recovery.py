"""What becomes of jobs that a process left running when it died."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from modules.call_queue.database import lock_for_writing
from modules.call_queue.shares import settle
from modules.call_queue.tables import CRASHES_ALLOWED, JOBS, LOG, SET_ASIDE, SET_ASIDE_KIND
from modules.call_queue.tenancy import Tenancy, tenancy_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """Ids of jobs that were found running although nobody runs them, by what became of them."""

    queued: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


def recover(engine: Engine, tenancy: Tenancy | None = None) -> Recovered:
    """Put what was left running back into the queue, at its old place, in one transaction.

    A job that was running in two processes that died is set aside as failed, with the log of both; one that had been
    asked to stop is cancelled. Where processes share the database, the jobs of those that live are left alone, and two
    that look at the same moment find different ones.
    """
    tenancy = tenancy or tenancy_of(engine)
    found: dict[str, list[str]] = {"queued": [], "failed": [], "cancelled": []}
    with engine.begin() as connection:
        lock_for_writing(connection)
        columns = (JOBS.c.number, JOBS.c.id, JOBS.c.owner, JOBS.c.worker, JOBS.c.crashes, JOBS.c.attempts)
        running = select(*columns, JOBS.c.cancelling, JOBS.c.predicted).where(JOBS.c.state == "running")
        running = running.order_by(JOBS.c.number)
        for row in connection.execute(running.with_for_update(skip_locked=True)).all():
            if tenancy.died(row.worker, connection):
                found[_take_back(connection, row)].append(row.id)
    if any(found.values()):
        log.warning(
            "the studio died while %d jobs ran: %d go on, %d set aside, %d cancelled",
            sum(map(len, found.values())), len(found["queued"]), len(found["failed"]), len(found["cancelled"]),
        )  # fmt: skip
    return Recovered(tuple(found["queued"]), tuple(found["failed"]), tuple(found["cancelled"]))


def _take_back(connection: Connection, row: Any) -> str:
    """Decide on one job; returns its new state. Nobody is charged for a run that came to nothing."""
    crashes, now = row.crashes + 1, time.time()
    values: dict[str, Any] = {"crashes": crashes, "worker": None, "predicted": 0.0}
    if row.cancelling:
        values |= {"state": "cancelled", "ended": now}
    elif crashes > CRASHES_ALLOWED:
        values |= {"state": "failed", "ended": now, "error_kind": SET_ASIDE_KIND, "error": SET_ASIDE}
    else:
        values |= {"state": "queued", "started": None}
    settle(connection, row.owner, row.predicted, 0.0)
    connection.execute(update(JOBS).where(JOBS.c.number == row.number).values(values))
    line = f"The process died while this job ran, for the {'first' if crashes == 1 else 'second'} time."
    connection.execute(insert(LOG).values(job_id=row.id, attempt=row.attempts, moment=now, level="critical", text=line))
    return str(values["state"])
