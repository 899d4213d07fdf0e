"""The account book: what was charged, given back and granted. Lines are added and never changed, so sums always hold.

A job is charged before it is stored and given back what it did not use when it ends; each line carries the job's id,
and the table takes one charge and one refund a job, so nothing is counted twice whoever crashes in between. What the
lines add up to is kept by the database, in the transaction that adds a line; see `migrations/v4_sums.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, case, exists, func, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from modules.accounts.tables import LEDGER, SUMS
from modules.contracts.accounts import LedgerEntry

FIELDS = ("owner", "kind", "credits", "job_id", "pictures", "note", "moment")
"""Columns of the table in the order in which lines are written."""


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
class Usage:
    """Credits of a day and of its month: charged less what came back of them, whenever it did; and granted."""

    used_today: float
    used_this_month: float
    granted_today: float
    granted_this_month: float


def usage(connection: Connection, owner: str, moment: float) -> Usage:
    """What `owner` has used and was granted on the day of `moment` and in its month.

    A refund counts where its charge does. The database has the sums ready, so this takes the same time however long
    the ledger is. A clock that was ahead for a while has left sums of days to come: they count when their day does.
    """
    asked = {"of": owner, "day": day_start(moment), "month": month_start(moment)}
    found = {row.span: row for row in connection.execute(_usage(), asked)}
    day, month = found.get("day"), found.get("month")
    return Usage(
        max(0.0, day.used) if day else 0.0,
        max(0.0, month.used) if month else 0.0,
        day.granted if day else 0.0,
        month.granted if month else 0.0,
    )


@cache
def _usage() -> Any:
    """Built once: that takes longer than running it."""
    spans = (and_(SUMS.c.span == span, SUMS.c.start == bindparam(span)) for span in ("day", "month"))
    return select(SUMS.c.span, SUMS.c.used, SUMS.c.granted).where(SUMS.c.owner == bindparam("of"), or_(*spans))


def unsettled(connection: Connection) -> Sequence[Row[Any]]:
    """Charges that no refund, not even one of nothing, has closed."""
    closing = LEDGER.alias()
    closed = exists().where(closing.c.job_id == LEDGER.c.job_id, closing.c.kind == "refund")
    return connection.execute(select(LEDGER).where(LEDGER.c.kind == "charge", ~closed)).all()


def write(connection: Connection, line: Line, moment: float) -> bool:
    """Add a line; False where the job has one of that kind already."""
    values = {**asdict(line), "moment": moment}
    if line.job_id is None:
        connection.execute(insert(LEDGER).values(values))
        return True
    return connection.execute(_adding(connection.dialect.name), values).first() is not None


def refund(connection: Connection, job_id: str, made: int, moment: float) -> bool:
    """Give back what the pictures cost that were charged and not made; False where there is nothing to settle any more.

    It closes the charge also when all were made. One statement, so whoever comes second finds it closed.
    """
    values = {"job_id": job_id, "made": max(made, 0), "moment": moment, "kind": "refund", "note": ""}
    return connection.execute(_refunding(connection.dialect.name), values).first() is not None


@cache
def _adding(dialect: str) -> Any:
    return _insert(dialect, select(*(_given(name) for name in FIELDS)))


@cache
def _refunding(dialect: str) -> Any:
    made = bindparam("made", type_=LEDGER.c.credits.type)
    missing = case((LEDGER.c.pictures > made, 1.0 - made / LEDGER.c.pictures), else_=0.0)
    back = {"owner": LEDGER.c.owner, "credits": -LEDGER.c.credits * missing, "pictures": LEDGER.c.pictures}
    rows = select(*(back.get(name, _given(name)) for name in FIELDS))
    return _insert(dialect, rows.where(LEDGER.c.job_id == _given("job_id"), LEDGER.c.kind == "charge"))


def _insert(dialect: str, rows: Select[Any]) -> Any:
    """Adds these rows unless their job has a line of their kind; gives the numbers of those that were added.

    Whether it has is asked first, because the table refuses a second one loudly; and on PostgreSQL somebody may have
    been quicker since.
    """
    other = LEDGER.alias()
    there = exists().where(other.c.job_id == _given("job_id"), other.c.kind == _given("kind"))
    added = (sqlite if dialect == "sqlite" else postgresql).insert(LEDGER).from_select(FIELDS, rows.where(~there))
    return added.on_conflict_do_nothing().returning(LEDGER.c.number)


def _given(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=LEDGER.c[name].type)


def lines(connection: Connection, owner: str | None, limit: int, after: int | None = None) -> list[LedgerEntry]:
    """Newest first; those that were written before the line with the number `after`, where there is one."""
    query = select(LEDGER).order_by(LEDGER.c.number.desc()).limit(limit)
    if owner is not None:
        query = query.where(LEDGER.c.owner == owner)
    if after is not None:
        query = query.where(LEDGER.c.number < after)
    return [entry(row) for row in connection.execute(query)]


def length(connection: Connection, owner: str | None) -> int:
    """How many lines there are, of that owner where one is named."""
    query = select(func.count()).select_from(LEDGER)
    return int(connection.execute(query if owner is None else query.where(LEDGER.c.owner == owner)).scalar_one())


def entry(row: Row[Any]) -> LedgerEntry:
    """A row as the fronts see it."""
    moment = datetime.fromtimestamp(row.moment, UTC)
    return LedgerEntry(row.number, row.owner, moment, row.kind, row.credits, row.job_id, row.note)
