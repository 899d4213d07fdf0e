"""Jobs in the database: how they come, are taken, and end. Every method is one transaction and safe from any thread.

Several processes may use one PostgreSQL database: a job is taken by `SELECT … FOR UPDATE SKIP LOCKED`, so two that look
at the same moment take two different ones. On SQLite a transaction that takes one holds the write lock from its start.
No method knows lanes or events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from modules.call_queue.database import lock_entrance, lock_for_writing, prepare_tables
from modules.call_queue.entrance import size_of
from modules.call_queue.estimates import Measurement
from modules.call_queue.fairness import Policy, Share, Turn, Waiting, take_turn
from modules.call_queue.inputs import DEFAULT_LIMIT, keep, take_out, trim
from modules.call_queue.journal import Journal
from modules.call_queue.listing import Listing, Load, load_of
from modules.call_queue.marks import Marking
from modules.call_queue.ordering import Ordering
from modules.call_queue.records import moment, words_of
from modules.call_queue.shares import ONLY, READY, awaken, charge, ensure_schedule, settle
from modules.call_queue.speeds import SpeedBook
from modules.call_queue.tables import JOBS, LOG, SCHEDULE, SHARES
from modules.contracts.codec import decode, encode
from modules.contracts.cost import is_sized, model_of, work_of
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import PLAIN, JobDetails, JobRecord, JobState, JobTerms
from modules.contracts.request import GenerationRequest

LARGE_REQUEST = 256 * 1024
"""Characters of stored JSON above which an ended job's pictures are kept apart; see `modules.call_queue.inputs`."""
LOOK_AHEAD = 16
"""Jobs of each owner that are looked at for one whose model is resident."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a lane has taken. `stored` is its request as JSON text, perhaps written by another version."""

    id: str
    owner: str
    attempt: int
    stored: str
    model: str = ""
    work: float = 0.0
    timeout: float | None = None
    deadline: float | None = None
    keep_partial: bool = False
    others: bool = False
    """More jobs may be started now."""

    def request(self) -> GenerationRequest:
        """The request. Raises `ValueError` or `TypeError` when this version cannot read it."""
        return decode(GenerationRequest, json.loads(self.stored))


class JobStore(Listing, Ordering, Marking):
    """The table of jobs. A state that ends a job is written once: whoever comes later is told so by False."""

    def __init__(
        self,
        engine: Engine,
        *,
        policy: Policy | None = None,
        clock: Callable[[], float] = time.time,
        machine: str = "",
        keep_bytes: Callable[[], int] = lambda: DEFAULT_LIMIT,
    ) -> None:
        """Brings the tables to this version. `clock` gives seconds since 1970; `machine` is whose speeds count.

        `keep_bytes` says at any moment how much may be kept of pictures that came with jobs that have ended.
        """
        self.engine = engine
        self.policy = policy or Policy()
        self.clock = clock
        self.keep_bytes = keep_bytes
        self.worker = ""
        """The name under which jobs are taken; see `modules.call_queue.tenancy`."""
        self.lanes = 1
        """How many jobs run at a time, for predictions."""
        prepare_tables(engine)
        with engine.begin() as connection:
            ensure_schedule(connection)
        self.speeds = SpeedBook(engine, machine)
        self.journal = Journal(engine, clock)

    def add(
        self,
        job_id: str,
        owner: str,
        request: GenerationRequest,
        terms: JobTerms = PLAIN,
        *,
        digest: str | None = None,
        origin: str | None = None,
        fits: Callable[[Load], None] | None = None,
    ) -> JobRecord:
        """Store a queued job. Raises `InvalidRequest` when the id, or the owner's key, exists already.

        `fits` is handed what waits and raises when this one is too much. No process stores another job between its
        look and this one's storing, so no two fill the same room.
        """
        # Whole microseconds, as in a `datetime`, so that a moment that was read finds the job again.
        now, model, words = round(self.clock(), 6), model_of(request), words_of(request)
        native = self.speeds.native(model)
        work = work_of(request, native)
        deadline = None if terms.deadline is None else terms.deadline.timestamp()
        stored = json.dumps(encode(request), ensure_ascii=False, separators=(",", ":"))
        row = {
            "id": job_id,
            "owner": owner,
            "state": "queued",
            "request": stored,
            "size": size_of(stored),
            "created": now,
            "place": now - terms.priority * self.policy.priority_seconds,
            "priority": terms.priority,
            "deadline": deadline,
            "timeout": terms.timeout,
            "keep_partial": terms.keep_partial,
            "idempotency_key": terms.idempotency_key,
            "digest": digest,
            "model": model,
            "work": work,
            "native": None if is_sized(request) else native,
            "origin": origin,
            "words": words,
            "mode": request.mode,
        }
        try:
            with self.engine.begin() as connection:
                lock_for_writing(connection)
                if fits is not None:
                    lock_entrance(connection)
                    fits(load_of(connection, owner))
                awaken(connection, owner)
                connection.execute(_ADDING, row)
        except IntegrityError as error:
            raise InvalidRequest(f"There is a job {job_id!r} already; choose another id, or none.") from error
        details = JobDetails(model=model, megapixel_steps=work, origin=origin, words=words, mode=request.mode)
        created = moment(now)
        assert created is not None
        return JobRecord(job_id, owner, "queued", created, terms=terms, details=details)

    def find_key(self, owner: str, key: str) -> tuple[str, str | None] | None:
        """Id and digest of the job that this owner submitted under that key."""
        query = select(JOBS.c.id, JOBS.c.digest).where(JOBS.c.owner == owner, JOBS.c.idempotency_key == key)
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.id, row.digest)

    def claim(self, resident: Collection[str] | None = None) -> Claim | None:
        """Take the job whose turn it is and mark it running; None when none may start now.

        `resident` names the models that are in memory. A job that was running when the process died is a suspect and
        runs alone in its process, so that a second death has one cause and never takes its neighbours' blame.
        """
        now = self.clock()
        with self.engine.begin() as connection:
            lock_for_writing(connection)
            busy = connection.execute(_busy(), {"worker": self.worker}).one()
            if busy.paused or busy.suspects:
                return None
            turn = take_turn(self.policy, *self.waiting(connection, LOOK_AHEAD), now, resident)
            for job in turn.order:
                if job.crashes and busy.jobs:
                    return None
                row = self._take(connection, job, now)
                if row is not None:
                    self._note_passing(connection, turn, job, now)
                    return _claim(row, job.work, others=len(turn.order) > 1)
        return None

    def waiting(self, connection: Connection, depth: int) -> tuple[list[Waiting], dict[str, Share]]:
        """The first `depth` jobs of every owner that may be started, with what they are predicted to take.

        And the shares of these owners; one who has none is left out.
        """
        rows = connection.execute(_line(), {"depth": depth}).all()
        found = {row.owner: Share(row.tag, row.weight, row.used) for row in rows if row.tag is not None}
        return [self._waiting(row) for row in rows], found

    def _waiting(self, row: Row[Any]) -> Waiting:
        work = self.speeds.size(row.model, row.work, row.native)
        seconds = self.speeds.predict(row.model, work, self.lanes).likely
        return Waiting(
            row.number, row.owner, seconds, row.model, row.passed, row.place, row.crashes, row.id, work
        )  # fmt: skip

    def _take(self, connection: Connection, job: Waiting, now: float) -> Row[Any] | None:
        """Mark that job running and charge its owner, unless another hand holds it."""
        values = {"which": job.number, "now": now, "by": self.worker, "seconds": job.seconds}
        row = connection.execute(_taking(), values).first()
        if row is not None:
            charge(connection, job.owner, job.seconds)
        return row

    def _note_passing(self, connection: Connection, turn: Turn, taken: Waiting, now: float) -> None:
        over = turn.passed_over
        if over is not None and over.passed is None and taken is turn.order[0]:
            connection.execute(update(JOBS).where(JOBS.c.number == over.number).values(passed=now))

    def finish(
        self,
        job_id: str,
        state: JobState,
        *,
        pictures: int = 0,
        error: tuple[str, str] | None = None,
        expected: JobState = "running",
        claim: Claim | None = None,
        partial: bytes | None = None,
    ) -> bool:
        """End a job that is in state `expected`; False when it is not, and then nothing is changed.

        `claim` is the one by which the caller ran it: when the job has been taken again since, the call is too late.
        The owner's charge is put right to the time that the job ran. A job that is done keeps no log.
        """
        slim, found = self._slim(self._large(job_id) if claim is None else claim.stored)
        now = self.clock()
        kind, message = error or (None, None)
        values: dict[str, Any] = {
            "state": state, "ended": now, "error_kind": kind, "error": message, "request": slim, "worker": None,
            "paused": False,
        }  # fmt: skip
        if expected == "running":
            measured = case((JOBS.c.started < now, now - JOBS.c.started), else_=0.0)
            values |= {"pictures": pictures, "measured": measured, "partial": partial}
        which = and_(JOBS.c.id == job_id, JOBS.c.state == expected)
        if claim is not None:
            which = and_(which, JOBS.c.attempts == claim.attempt)
        ended = update(JOBS).where(which).values(values).returning(JOBS.c.owner, JOBS.c.predicted, JOBS.c.measured)
        with self.engine.begin() as connection:
            lock_for_writing(connection)
            row = connection.execute(ended).first()
            if row is None:
                return False
            if expected == "running":
                settle(connection, row.owner, row.predicted, row.measured)
            keep(connection, job_id, found, now)
            if state == "done":
                connection.execute(delete(LOG).where(LOG.c.job_id == job_id))
        if found:
            trim(self.engine, self.keep_bytes())
        return True

    def _large(self, job_id: str) -> str:
        """The stored request of that job where it is a large one."""
        large = select(JOBS.c.request).where(JOBS.c.id == job_id, func.length(JOBS.c.request) > LARGE_REQUEST)
        with self.engine.connect() as connection:
            return connection.execute(large).scalar() or ""

    def _slim(self, stored: str) -> tuple[Any, dict[str, bytes]]:
        """What a job that ends keeps of its stored request, and the pictures that are kept apart from it.

        A request that is large without them, or with pictures beyond what may be kept at all, is let go of.
        """
        if len(stored) <= LARGE_REQUEST:
            return JOBS.c.request, {}
        slim, found = take_out(stored)
        fits = len(slim) <= LARGE_REQUEST and sum(map(len, found.values())) <= self.keep_bytes()
        return (slim, found) if fits else (None, {})

    def release(self, job_ids: Iterable[str], *, pause: bool = False) -> int:
        """Put running jobs back into the queue, at their old place, without blaming them; how many were.

        The owners get their charge back. With `pause` the job waits for somebody to resume it, and its owner, whose
        wish that was, is charged the time that it ran.
        """
        now, count = self.clock(), 0
        which = and_(JOBS.c.id.in_(tuple(job_ids)), JOBS.c.state == "running")
        with self.engine.begin() as connection:
            lock_for_writing(connection)
            for row in connection.execute(_charged().where(which).with_for_update()).all():
                settle(connection, row.owner, row.predicted, max(now - row.started, 0.0) if pause else 0.0)
                values: dict[str, Any] = {"state": "queued", "started": None, "worker": None, "predicted": 0.0}
                values |= {"paused": True} if pause else {}
                connection.execute(update(JOBS).where(JOBS.c.number == row.number).values(values))
                count += 1
        return count

    def learn(self, claim: Claim, measured: Measurement) -> None:
        """Learn what this machine took for a job that is done."""
        self.speeds.record(claim.model, measured)

    def ask_pause(self, job_id: str) -> bool:
        """Note that a running job is to stop and to be held back; False when none runs."""
        which = and_(JOBS.c.id == job_id, JOBS.c.state == "running", ~JOBS.c.paused)
        with self.engine.begin() as connection:
            return connection.execute(update(JOBS).where(which).values(paused=True)).rowcount == 1

    def asked(self) -> tuple[set[str], set[str]]:
        """Ids of the jobs of this process that are to be cancelled, and of those that are to be held back."""
        mine = and_(JOBS.c.state == "running", JOBS.c.worker == self.worker)
        query = select(JOBS.c.id, JOBS.c.cancelling).where(mine, or_(JOBS.c.cancelling, JOBS.c.paused))
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {row.id for row in rows if row.cancelling}, {row.id for row in rows if not row.cancelling}

    def overdue(self) -> list[str]:
        """Ids of waiting jobs whose deadline has passed."""
        late = and_(JOBS.c.state == "queued", JOBS.c.deadline <= self.clock())
        with self.engine.connect() as connection:
            return list(connection.execute(select(JOBS.c.id).where(late)).scalars())

    def next_deadline(self) -> float | None:
        """The earliest deadline of a waiting job."""
        query = select(func.min(JOBS.c.deadline)).where(JOBS.c.state == "queued")
        with self.engine.connect() as connection:
            return connection.execute(query).scalar()

    def ask_cancel(self, job_id: str) -> bool:
        """Note that a running job is to stop, so that it is not started again after a crash; False when none runs."""
        which = and_(JOBS.c.id == job_id, JOBS.c.state == "running")
        with self.engine.begin() as connection:
            return connection.execute(update(JOBS).where(which).values(cancelling=True)).rowcount == 1


# Statements that every job runs are built once: building one takes longer than running it.


@cache
def _busy() -> Any:
    """Whether the queue is held, how many jobs `worker` runs, and how many of them were running at a death."""
    mine = and_(JOBS.c.state == "running", func.coalesce(JOBS.c.worker, "") == bindparam("worker"))
    suspects = func.coalesce(func.sum(case((JOBS.c.crashes > 0, 1), else_=0)), 0)
    query = select(SCHEDULE.c.paused, func.count(JOBS.c.number).label("jobs"), suspects.label("suspects"))
    query = query.select_from(SCHEDULE.outerjoin(JOBS, mine)).where(SCHEDULE.c.number == ONLY)
    return query.group_by(SCHEDULE.c.number, SCHEDULE.c.paused)


@cache
def _line() -> Any:
    """The first `depth` ready jobs of every owner, with their owner's share."""
    place = func.row_number().over(partition_by=JOBS.c.owner, order_by=(JOBS.c.place, JOBS.c.number))
    columns = (JOBS.c.number, JOBS.c.id, JOBS.c.owner, JOBS.c.work, JOBS.c.model, JOBS.c.passed, JOBS.c.place)
    ranked = select(*columns, JOBS.c.native, JOBS.c.crashes, place.label("ahead")).where(READY).subquery()
    query = select(ranked, SHARES.c.tag, SHARES.c.weight, SHARES.c.used)
    query = query.select_from(ranked.outerjoin(SHARES, SHARES.c.owner == ranked.c.owner))
    return query.where(ranked.c.ahead <= bindparam("depth"))


@cache
def _taking() -> Any:
    """Mark the job with the number `which` running, unless it is not ready any more or another hand holds it."""
    free = select(JOBS.c.number).where(JOBS.c.number == bindparam("which"), READY).with_for_update(skip_locked=True)
    given = {name: bindparam(other, type_=JOBS.c[name].type) for name, other in _TAKEN.items()}
    values = {**given, "state": "running", "attempts": JOBS.c.attempts + 1, "passed": None}
    return update(JOBS).where(JOBS.c.number == free.scalar_subquery()).values(values).returning(JOBS)


_ADDING = insert(JOBS)
_TAKEN = {"started": "now", "worker": "by", "predicted": "seconds"}
"""Columns, by the names under which `_taking` is given their values."""


def _charged() -> Any:
    return select(JOBS.c.number, JOBS.c.owner, JOBS.c.started, JOBS.c.predicted)


def _claim(row: Row[Any], work: float, others: bool) -> Claim:
    return Claim(
        row.id, row.owner, row.attempts, row.request or "", row.model, work, row.timeout, row.deadline,
        row.keep_partial, others,
    )  # fmt: skip
