"""Where waiting jobs stand and when they will be done, for the queue as it is now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, func, select

from modules.call_queue.estimates import Spread, sum_up
from modules.call_queue.fairness import Waiting
from modules.call_queue.forecast import HORIZON, Outlook, look_ahead
from modules.call_queue.shares import ONLY, READY
from modules.call_queue.store import JobStore
from modules.call_queue.tables import JOBS, SCHEDULE
from modules.contracts.cost import model_of, work_of
from modules.contracts.jobs import Eta
from modules.contracts.request import GenerationRequest

FRESH_SECONDS = 1.0
"""How long a forecast is used when nothing has changed."""


LEAST_DEPTH = 16
"""Jobs of each owner that are looked at, however many owners there are."""


class Oracle:
    """Forecasts from the table, made anew after a change and otherwise once a second at most. Safe from any thread.

    `left` gives what is known better than the table knows it: seconds left to the jobs of this process, by id, None
    where nobody can say.
    """

    def __init__(self, store: JobStore, lanes: int, left: Callable[[], Mapping[str, Spread | None]]) -> None:
        self._store = store
        self._lanes = lanes
        self._left = left
        self._lock = threading.Lock()
        self._made: Mapping[str, Outlook] = {}
        self._when = float("-inf")

    def changed(self) -> None:
        """Something came, started, ended or moved."""
        self._when = float("-inf")

    def of(self, job_id: str) -> Outlook | None:
        """The outlook of a waiting job; None for one that does not wait, is held back, or is too far behind to see."""
        with self._lock:
            if time.monotonic() - self._when > FRESH_SECONDS:
                self._when = time.monotonic()
                self._made = self._make()
            return self._made.get(job_id)

    def _make(self) -> dict[str, Outlook]:
        store = self._store
        with store.engine.connect() as connection:
            now = connection.execute(_now()).one()
            # Among many owners the turn comes round before one of them has started as many as that.
            waiting, shares = store.waiting(connection, max(4 * HORIZON // max(now.owners, 4), LEAST_DEPTH))
            rows = connection.execute(_under_way()).all()
        here, moment = self._left(), store.clock()
        running: list[Spread | None] = []
        for row in rows:
            ran = max(moment - row.started, 0.0)
            work = store.speeds.size(row.model, row.work, row.native)
            running.append(here[row.id] if row.id in here else remaining(self.predict(row.model, work), ran))
        blind = now.paused or any(spread is None for spread in running)

        def predict(job: Waiting) -> Spread | None:
            return None if blind else self.predict(job.model, job.work)

        known = [spread for spread in running if spread is not None]
        return look_ahead(waiting, known, shares, self._lanes, predict, now.virtual)

    def predict(self, model: str, work: float) -> Spread | None:
        """Seconds on a lane for that much work; None as long as nothing was measured on this machine."""
        speeds = self._store.speeds
        return speeds.predict(model, work, self._store.lanes) if speeds.knows(model, self._store.lanes) else None

    def foresee(self, requests: Sequence[GenerationRequest]) -> Spread | None:
        """Seconds until these would be done with all lanes to themselves; None when the speed of one is not known."""
        speeds, spreads = self._store.speeds, list[Spread]()
        for request in requests:
            model = model_of(request)
            spread = self.predict(model, work_of(request, speeds.native(model)))
            if spread is None:
                return None
            spreads.append(spread)
        longest = max((spread.likely for spread in spreads), default=0.0)
        whole = sum_up(spreads)
        share = max(whole.likely / max(min(self._lanes, len(spreads)), 1), longest)
        return scale(share, whole)


@cache
def _now() -> Select[Any]:
    """The schedule, and how many owners wait. Built once, as the other one: that takes longer than running it."""
    owners = select(func.count(JOBS.c.owner.distinct())).where(READY).scalar_subquery()
    return select(SCHEDULE, owners.label("owners")).where(SCHEDULE.c.number == ONLY)


@cache
def _under_way() -> Select[Any]:
    columns = (JOBS.c.id, JOBS.c.started, JOBS.c.predicted, JOBS.c.model, JOBS.c.work, JOBS.c.native)
    return select(*columns).where(JOBS.c.state == "running")


def remaining(whole: Spread | None, ran: float) -> Spread | None:
    """What is left of a job that has run `ran` seconds, by its prediction alone; never nothing while it runs."""
    if whole is None:
        return None
    least = 0.05 * whole.likely
    return Spread(*(max(part - ran, least) for part in (whole.low, whole.likely, whole.high)))


def scale(likely: float, whole: Spread | None) -> Spread:
    """An estimate of a running job's own, with error bars in the proportion of those of its prediction."""
    if whole is None or whole.likely <= 0:
        return Spread(likely, likely, likely)
    return Spread(likely * whole.low / whole.likely, likely, likely * whole.high / whole.likely)


def eta_of(spread: Spread | None) -> Eta | None:
    """The same for the fronts."""
    return None if spread is None else Eta(spread.low, spread.likely, spread.high)
