"""Looking jobs up."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, bindparam, case, func, select, true

from modules.call_queue.inputs import put_back
from modules.call_queue.records import record_of, select_jobs
from modules.call_queue.tables import JOBS, SHARES
from modules.contracts.codec import decode
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import JobFilter, JobPage, JobRecord, JobState, OwnerShare
from modules.contracts.request import GenerationRequest

LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Load:
    """How much waits, as far as it decides about what else may come."""

    jobs: int
    """Waiting or running."""
    size: int
    """Bytes of the stored requests of jobs that wait."""
    mine: int
    """Those of the owner who asks."""


class Listing:
    """The part of `JobStore` that changes nothing."""

    engine: Engine

    def get(self, job_id: str) -> JobRecord | None:
        """The row of that id."""
        with self.engine.connect() as connection:
            row = connection.execute(_one(), {"of": job_id}).first()
        return None if row is None else record_of(row)

    def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> builtins.list[JobRecord]:
        """Rows, newest first unless `oldest_first`."""
        order = JOBS.c.number.asc() if oldest_first else JOBS.c.number.desc()
        which = _matching(JobFilter(owner=owner, states=() if state is None else (state,)))
        query = select_jobs().where(which).order_by(order).limit(limit)
        with self.engine.connect() as connection:
            return [record_of(row) for row in connection.execute(query)]

    def page(self, wanted: JobFilter, *, limit: int = 100, after: int | None = None) -> JobPage:
        """Rows of that kind, newest first; `after` is the `following` of the page before.

        Jobs that come while somebody turns pages shift nothing. Raises `InvalidRequest` for a limit that is not 1 to
        `LARGEST_PAGE`.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise InvalidRequest(f"A page has 1 to {LARGEST_PAGE} jobs; {limit} was given.")
        which = _matching(wanted)
        older = true() if after is None else JOBS.c.number < after
        query = select_jobs().where(which, older).order_by(JOBS.c.number.desc()).limit(limit + 1)
        with self.engine.connect() as connection:
            total = connection.execute(select(func.count()).select_from(JOBS).where(which)).scalar_one()
            rows = connection.execute(query).all()
        following = rows[limit - 1].number if len(rows) > limit else None
        return JobPage(tuple(record_of(row) for row in rows[:limit]), following, total)

    def request(self, job_id: str) -> GenerationRequest | None:
        """What was asked for; None for an unknown id, and for an ended job whose pictures are not kept any more.

        Raises `InvalidRequest` when it was written by a version that this one does not understand.
        """
        with self.engine.connect() as connection:
            stored = connection.execute(select(JOBS.c.request).where(JOBS.c.id == job_id)).scalar()
            document = put_back(connection, stored) if stored else None
        if document is None:
            return None
        try:
            return decode(GenerationRequest, document)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(f"The request of job {job_id} cannot be read by this version: {error}.") from error

    def partial(self, job_id: str) -> bytes | None:
        """The last look at the unfinished picture of a cancelled job that was to keep it."""
        with self.engine.connect() as connection:
            data = connection.execute(select(JOBS.c.partial).where(JOBS.c.id == job_id)).scalar()
        return None if data is None else bytes(data)

    def pending(self, owner: str | None = None, *, besides: Collection[str] = ()) -> int:
        """Number of jobs queued or running, those of the ids `besides` left out."""
        query, asked = _counting(owner is not None, bool(besides)), {"of": owner, "besides": tuple(besides)}
        with self.engine.connect() as connection:
            return int(connection.execute(query, asked).scalar_one())

    def waiting_bytes(self, owner: str | None = None) -> int:
        """Bytes of the stored requests of jobs that wait, held-back ones included; of one owner when given."""
        query = select(func.coalesce(func.sum(JOBS.c.size), 0)).where(JOBS.c.state == "queued")
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def load(self, owner: str) -> Load:
        """What waits or runs, in one look; `mine` is of that owner."""
        with self.engine.connect() as connection:
            return load_of(connection, owner)

    def owners(self) -> builtins.list[OwnerShare]:
        """What each owner has had, by name."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(SHARES).order_by(SHARES.c.owner))
            return [OwnerShare(row.owner, row.weight, row.used) for row in rows]


def load_of(connection: Connection, owner: str) -> Load:
    """`Listing.load` as a transaction sees it."""
    jobs, whole, own = connection.execute(_loading(), {"of": owner}).one()
    return Load(int(jobs), int(whole), int(own))


# What every request asks is built once: building it takes longer than running it.


@cache
def _one() -> Select[Any]:
    return select_jobs().where(JOBS.c.id == bindparam("of"))


@cache
def _counting(owned: bool, besides: bool) -> Any:
    """How many wait or run: of one owner, without some."""
    query = select(func.count()).select_from(JOBS).where(JOBS.c.state.in_(("queued", "running")))
    query = query.where(JOBS.c.owner == bindparam("of")) if owned else query
    return query.where(JOBS.c.id.not_in(bindparam("besides", expanding=True))) if besides else query


@cache
def _loading() -> Select[Any]:
    size = case((JOBS.c.state == "queued", JOBS.c.size), else_=0)
    mine = case((JOBS.c.owner == bindparam("of"), size), else_=0)
    totals = (func.coalesce(func.sum(what), 0) for what in (size, mine))
    return select(func.count(), *totals).select_from(JOBS).where(JOBS.c.state.in_(("queued", "running")))


def _matching(wanted: JobFilter) -> ColumnElement[bool]:
    tests: builtins.list[Any] = []
    if wanted.owner is not None:
        tests.append(JOBS.c.owner == wanted.owner)
    if wanted.states:
        tests.append(JOBS.c.state.in_(wanted.states))
    if wanted.model is not None:
        tests.append(JOBS.c.model == wanted.model)
    if wanted.paused is not None:
        tests.append(JOBS.c.paused == wanted.paused)
    if wanted.bookmarked is not None:
        tests.append(JOBS.c.bookmarked == wanted.bookmarked)
    if wanted.since is not None:
        tests.append(JOBS.c.created >= wanted.since.timestamp())
    if wanted.until is not None:
        tests.append(JOBS.c.created < wanted.until.timestamp())
    return and_(true(), *tests)
