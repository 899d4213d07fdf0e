"""The shares of owners and the virtual time, in the database. The rules are those of `modules.call_queue.fairness`.

Every function works inside the caller's transaction and locks the rows it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, insert, literal, select, update

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
    names = ("owner", "tag", "weight", "used")
    now = select(literal(owner, SHARES.c.owner.type), SCHEDULE.c.virtual, literal(1.0), literal(0.0))
    fresh = insert_of(connection, SHARES).from_select(names, now.where(SCHEDULE.c.number == ONLY))
    waits = exists().where(READY, JOBS.c.owner == owner)
    behind = and_(SHARES.c.tag < fresh.excluded.tag, ~waits)
    key, tag = [SHARES.c.owner], {"tag": fresh.excluded.tag}
    connection.execute(fresh.on_conflict_do_update(index_elements=key, set_=tag, where=behind))


def charge(connection: Connection, owner: str, predicted: float) -> None:
    """A job starts: let virtual time go on to the tag that its owner starts at, and charge them."""
    tag = select(SHARES.c.tag).where(SHARES.c.owner == owner).scalar_subquery()
    later = and_(SCHEDULE.c.number == ONLY, SCHEDULE.c.virtual < tag)
    connection.execute(update(SCHEDULE).where(later).values(virtual=tag))
    _change(connection, owner, lambda share: share.charged(predicted))


def settle(connection: Connection, owner: str, predicted: float, measured: float) -> None:
    """A job that was charged `predicted` has taken `measured`; 0 takes the charge back."""
    _change(connection, owner, lambda share: share.settled(predicted, measured))


def _change(connection: Connection, owner: str, rule: Callable[[Share], Share]) -> None:
    """Change an owner's share by one of the rules, which the database works out from what is there at that moment."""
    columns: Any = (SHARES.c.tag, SHARES.c.weight, SHARES.c.used)
    changed = rule(Share(*columns))
    values = {"tag": changed.tag, "used": changed.used}
    change = update(SHARES).where(SHARES.c.owner == owner).values(values)
    if not connection.execute(change).rowcount:  # somebody has emptied the table
        awaken(connection, owner)
        connection.execute(change)
