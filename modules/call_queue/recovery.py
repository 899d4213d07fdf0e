"""What happens at start to jobs that an earlier process left running."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from sqlalchemy import Engine, select, update

from modules.call_queue.tables import CRASHES_ALLOWED, JOBS, SET_ASIDE, SET_ASIDE_KIND

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """Ids of jobs that were found running although nobody runs them, by what became of them."""

    queued: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


def recover(engine: Engine) -> Recovered:
    """Put what was left running back into the queue, at its old place, in one transaction.

    A job that was running in two processes that died is set aside as failed, and one that had been asked to stop is
    cancelled. Must be called before any lane runs and by the only process that has lanes (see `Tenancy`).
    """
    queued, set_aside, cancelled = [], [], []
    with engine.begin() as connection:
        left = connection.execute(select(JOBS).where(JOBS.c.state == "running").order_by(JOBS.c.number)).all()
        for row in left:
            crashes = row.crashes + 1
            values: dict[str, object] = {"crashes": crashes}
            if row.cancelling:
                cancelled.append(row.id)
                values |= {"state": "cancelled", "ended": time.time()}
            elif crashes > CRASHES_ALLOWED:
                set_aside.append(row.id)
                values |= {"state": "failed", "ended": time.time(), "error_kind": SET_ASIDE_KIND, "error": SET_ASIDE}
            else:
                queued.append(row.id)
                values |= {"state": "queued", "started": None}
            connection.execute(update(JOBS).where(JOBS.c.number == row.number).values(values))
    if left:
        log.warning(
            "the studio died while %d jobs ran: %d go on, %d set aside, %d cancelled",
            len(left), len(queued), len(set_aside), len(cancelled),
        )  # fmt: skip
    return Recovered(tuple(queued), tuple(set_aside), tuple(cancelled))
