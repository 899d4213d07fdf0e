"""The account book: what was charged, given back and granted. Lines are added and never changed, so sums always hold.

A job is charged before it is stored and given back what it did not use when it ends; each line carries the job's id,
and the table takes one charge and one refund a job, so nothing is counted twice whoever crashes in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, insert, select
from sqlalchemy.exc import IntegrityError

from modules.accounts.tables import LEDGER
from modules.contracts.accounts import LedgerEntry


@dataclass(frozen=True, slots=True)
class Line:
    """What is to be written down."""

    owner: str
    kind: Literal["charge", "refund", "grant"]
    credits: float
    job_id: str | None = None
    pictures: int = 0
    note: str = ""


def day_start(moment: float) -> float:
    """The beginning of the day of UTC that `moment` lies in, both in seconds since 1970."""
    return moment - moment % 86400


def day_end(moment: float) -> float:
    """The beginning of the next day."""
    return day_start(moment) + 86400


def month_start(moment: float) -> float:
    """The beginning of the month of UTC."""
    return datetime.fromtimestamp(moment, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def month_end(moment: float) -> float:
    """The beginning of the next month."""
    return month_start(month_start(moment) + 32 * 86400)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` until just before `end`, seconds since 1970.

    It has an end because a clock that was ahead for a while has left lines in the future: they count when their day
    comes and not every day until then.
    """

    start: float
    end: float


def day_of(moment: float) -> Span:
    """The day of UTC that `moment` lies in."""
    return Span(day_start(moment), day_end(moment))


def month_of(moment: float) -> Span:
    """The month of UTC that `moment` lies in."""
    return Span(month_start(moment), month_end(moment))


def used(connection: Connection, owner: str, span: Span) -> float:
    """Credits charged within that span less what came back of them, whenever it did."""
    charges = select(LEDGER.c.job_id).where(LEDGER.c.owner == owner, LEDGER.c.kind == "charge", _within(span))
    query = select(func.coalesce(func.sum(LEDGER.c.credits), 0.0)).where(
        LEDGER.c.owner == owner, LEDGER.c.kind.in_(("charge", "refund")), LEDGER.c.job_id.in_(charges)
    )
    return max(0.0, -float(connection.execute(query).scalar_one()))


def granted(connection: Connection, owner: str, span: Span) -> float:
    """Credits granted within that span."""
    query = select(func.coalesce(func.sum(LEDGER.c.credits), 0.0)).where(
        LEDGER.c.owner == owner, LEDGER.c.kind == "grant", _within(span)
    )
    return float(connection.execute(query).scalar_one())


def charge_of(connection: Connection, job_id: str) -> Row[Any] | None:
    """The line by which that job was charged."""
    return connection.execute(select(LEDGER).where(LEDGER.c.job_id == job_id, LEDGER.c.kind == "charge")).first()


def unsettled(connection: Connection) -> Sequence[Row[Any]]:
    """Charges that no refund, not even one of nothing, has closed."""
    closing = LEDGER.alias()
    closed = exists().where(closing.c.job_id == LEDGER.c.job_id, closing.c.kind == "refund")
    return connection.execute(select(LEDGER).where(LEDGER.c.kind == "charge", ~closed)).all()


def write(connection: Connection, line: Line, moment: float) -> bool:
    """Add a line; False where the job has one of that kind already."""
    try:
        with connection.begin_nested():
            connection.execute(insert(LEDGER).values(**asdict(line), moment=moment))
    except IntegrityError:
        return False
    return True


def lines(connection: Connection, owner: str | None, limit: int) -> list[LedgerEntry]:
    """Newest first."""
    query = select(LEDGER).order_by(LEDGER.c.number.desc()).limit(limit)
    if owner is not None:
        query = query.where(LEDGER.c.owner == owner)
    return [entry(row) for row in connection.execute(query)]


def _within(span: Span) -> ColumnElement[bool]:
    return and_(LEDGER.c.moment >= span.start, LEDGER.c.moment < span.end)


def entry(row: Row[Any]) -> LedgerEntry:
    """A row as the fronts see it."""
    moment = datetime.fromtimestamp(row.moment, UTC)
    return LedgerEntry(row.number, row.owner, moment, row.kind, row.credits, row.job_id, row.note)
