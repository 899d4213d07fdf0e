"""The shares of owners and the virtual time, in the database. The rules are those of `modules.call_queue.fairness`.

Every function works inside the caller's transaction and locks the rows it changes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Update, and_, bindparam, exists, insert, literal, select, update

from modules.call_queue.database import insert_of
from modules.call_queue.fairness import Share
from modules.call_queue.tables import JOBS, SCHEDULE, SHARES

ONLY = 1
"""The number of the one row of the schedule."""

READY = and_(JOBS.c.state == "queued", ~JOBS.c.paused)
"""A job that may be started."""


def ensure_schedule(connection: Connection) -> None:
    """Make the one row of the schedule, where somebody has emptied the table."""
    if connection.execute(select(SCHEDULE.c.number)).first() is None:
        connection.execute(insert(SCHEDULE).values(number=ONLY, virtual=0.0, paused=False))


def schedule(connection: Connection) -> Row[Any]:
    """Virtual time, and whether the whole queue is paused."""
    return connection.execute(select(SCHEDULE).where(SCHEDULE.c.number == ONLY)).one()


def awaken(connection: Connection, owner: str) -> None:
    """To be called before a job of that owner becomes ready; see `Share.awakened`."""
    connection.execute(_awakening(connection.dialect.name), {"of": owner})


def charge(connection: Connection, owner: str, predicted: float) -> None:
    """A job starts: let virtual time go on to the tag that its owner starts at, and charge them."""
    connection.execute(_advance(), {"of": owner})
    _change(connection, _charging(), {"of": owner, "predicted": predicted})


def settle(connection: Connection, owner: str, predicted: float, measured: float) -> None:
    """A job that was charged `predicted` has taken `measured`; 0 takes the charge back."""
    _change(connection, _settling(), {"of": owner, "predicted": predicted, "measured": measured})


def _change(connection: Connection, change: Update, values: dict[str, Any]) -> None:
    if not connection.execute(change, values).rowcount:  # somebody has emptied the table
        awaken(connection, values["of"])
        connection.execute(change, values)


# Statements that every job runs are built once: building one takes longer than running it. The database works shares
# out, by the rules of `Share`, from what is there at that moment.

_OWNER: ColumnElement[str] = bindparam("of", type_=SHARES.c.owner.type)
_PREDICTED: ColumnElement[float] = bindparam("predicted", type_=SHARES.c.used.type)
_MEASURED: ColumnElement[float] = bindparam("measured", type_=SHARES.c.used.type)


@cache
def _awakening(dialect: str) -> Any:
    names = ("owner", "tag", "weight", "used")
    now = select(_OWNER, SCHEDULE.c.virtual, literal(1.0), literal(0.0)).where(SCHEDULE.c.number == ONLY)
    fresh = insert_of(dialect, SHARES).from_select(names, now)
    waits = exists().where(READY, JOBS.c.owner == _OWNER)
    behind = and_(SHARES.c.tag < fresh.excluded.tag, ~waits)
    return fresh.on_conflict_do_update(index_elements=[SHARES.c.owner], set_={"tag": fresh.excluded.tag}, where=behind)


@cache
def _advance() -> Update:
    tag = select(SHARES.c.tag).where(SHARES.c.owner == _OWNER).scalar_subquery()
    return update(SCHEDULE).where(SCHEDULE.c.number == ONLY, SCHEDULE.c.virtual < tag).values(virtual=tag)


@cache
def _charging() -> Update:
    return _changed(_stored().charged(_any(_PREDICTED)))


@cache
def _settling() -> Update:
    return _changed(_stored().settled(_any(_PREDICTED), _any(_MEASURED)))


def _stored() -> Share:
    """A share whose figures are the table's columns, so that the rules make expressions of them."""
    return Share(_any(SHARES.c.tag), _any(SHARES.c.weight), _any(SHARES.c.used))


def _changed(share: Share) -> Update:
    return update(SHARES).where(SHARES.c.owner == _OWNER).values(tag=share.tag, used=share.used)


def _any(value: object) -> Any:
    return value
