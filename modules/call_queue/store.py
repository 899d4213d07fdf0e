"""Jobs in the database. Every method is one transaction and safe from any thread; no method knows lanes or events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, case, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from modules.call_queue.tables import JOBS, METADATA
from modules.contracts.codec import decode, encode
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import JobRecord, JobState
from modules.contracts.request import GenerationRequest

LARGE_REQUEST = 256 * 1024
"""Characters of stored JSON above which an ended job keeps its row but not its request (pictures sent by a client)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a lane has taken. `stored` is its request as JSON text, perhaps written by another version."""

    id: str
    owner: str
    attempt: int
    stored: str

    def request(self) -> GenerationRequest:
        """The request. Raises `ValueError` or `TypeError` when this version cannot read it."""
        return decode(GenerationRequest, json.loads(self.stored))


class JobStore:
    """The table of jobs. A state that ends a job is written once: whoever comes later is told so by False."""

    def __init__(self, engine: Engine) -> None:
        """Makes the table when it is missing."""
        self.engine = engine
        METADATA.create_all(engine)

    def add(self, job_id: str, owner: str, request: GenerationRequest) -> JobRecord:
        """Store a queued job. Raises `InvalidRequest` when the id exists already."""
        stored = json.dumps(encode(request), ensure_ascii=False, separators=(",", ":"))
        row = {"id": job_id, "owner": owner, "state": "queued", "request": stored, "created": time.time()}
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(JOBS).values(row))
        except IntegrityError as error:
            raise InvalidRequest(f"There is a job {job_id!r} already; choose another id, or none.") from error
        return JobRecord(job_id, owner, "queued", _moment(row["created"]) or datetime.now(UTC))

    def claim(self) -> Claim | None:
        """Take the oldest queued job and mark it running, in one statement; None when none may start now.

        A job that was running when the process died is a suspect and runs alone, so that a second death has one
        cause and never takes its neighbours' blame.
        """
        other = JOBS.alias()
        running = exists().where(other.c.state == "running")
        suspect_running = exists().where(and_(other.c.state == "running", other.c.crashes > 0))
        head = select(func.min(other.c.number)).where(other.c.state == "queued").scalar_subquery()
        statement = (
            update(JOBS)
            .where(JOBS.c.number == head, ~suspect_running, or_(JOBS.c.crashes == 0, ~running))
            .values(state="running", started=time.time(), attempts=JOBS.c.attempts + 1)
            .returning(JOBS.c.id, JOBS.c.owner, JOBS.c.attempts, JOBS.c.request)
        )
        with self.engine.begin() as connection:
            row = connection.execute(statement).first()
        return None if row is None else Claim(row.id, row.owner, row.attempts, row.request or "")

    def finish(
        self,
        job_id: str,
        state: JobState,
        *,
        pictures: int = 0,
        error: tuple[str, str] | None = None,
        expected: JobState = "running",
    ) -> bool:
        """End a job that is in state `expected`; False when it is not, and then nothing is changed."""
        kind, message = error or (None, None)
        kept = case((func.length(JOBS.c.request) > LARGE_REQUEST, None), else_=JOBS.c.request)
        values = {"state": state, "ended": time.time(), "error_kind": kind, "error": message, "request": kept}
        if expected == "running":
            values["pictures"] = pictures
        return self._change(and_(JOBS.c.id == job_id, JOBS.c.state == expected), values) == 1

    def release(self, job_ids: Iterable[str]) -> int:
        """Put running jobs back into the queue, at their old place, without blaming them; how many were."""
        running = and_(JOBS.c.id.in_(tuple(job_ids)), JOBS.c.state == "running")
        return self._change(running, {"state": "queued", "started": None})

    def ask_cancel(self, job_id: str) -> None:
        """Note that a running job is to stop, so that it is not started again after a crash."""
        self._change(and_(JOBS.c.id == job_id, JOBS.c.state == "running"), {"cancelling": True})

    def _change(self, which: ColumnElement[bool], values: dict[str, Any]) -> int:
        with self.engine.begin() as connection:
            return connection.execute(update(JOBS).where(which).values(values)).rowcount

    def get(self, job_id: str) -> JobRecord | None:
        """The row of that id."""
        with self.engine.connect() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).first()
        return None if row is None else _record(row)

    def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> list[JobRecord]:
        """Rows, newest first unless `oldest_first`."""
        order = JOBS.c.number.asc() if oldest_first else JOBS.c.number.desc()
        query = select(JOBS).order_by(order).limit(limit)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        if state is not None:
            query = query.where(JOBS.c.state == state)
        with self.engine.connect() as connection:
            return [_record(row) for row in connection.execute(query)]

    def pending(self, owner: str | None = None) -> int:
        """Number of jobs queued or running."""
        query = select(func.count()).select_from(JOBS).where(JOBS.c.state.in_(("queued", "running")))
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def position(self, job_id: str) -> int:
        """How many queued jobs come before that one; 0 when it does not wait."""
        own = select(JOBS.c.number).where(JOBS.c.id == job_id, JOBS.c.state == "queued").scalar_subquery()
        query = select(func.count()).select_from(JOBS).where(JOBS.c.state == "queued", JOBS.c.number < own)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())


def _record(row: Row[Any]) -> JobRecord:
    return JobRecord(
        id=row.id,
        owner=row.owner,
        state=row.state,
        created=datetime.fromtimestamp(row.created, UTC),
        started=_moment(row.started),
        ended=_moment(row.ended),
        attempts=row.attempts,
        pictures=row.pictures,
        error_kind=row.error_kind,
        error=row.error,
    )


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
