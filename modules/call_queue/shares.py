"""The shares of owners and the virtual time, in the database. The rules are those of `modules.call_queue.fairness`.

Every function works inside the caller's transaction and locks the rows it changes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, insert, select, update

from modules.call_queue.database import insert_or_leave
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
    virtual = schedule(connection).virtual
    connection.execute(
        insert_or_leave(connection, SHARES).values(owner=owner, tag=virtual, weight=1.0, used=0.0),
    )
    waits = exists().where(READY, JOBS.c.owner == owner)
    connection.execute(
        update(SHARES).where(SHARES.c.owner == owner, SHARES.c.tag < virtual, ~waits).values(tag=virtual)
    )


def shares_of(connection: Connection, owners: Collection[str]) -> dict[str, Share]:
    """The shares of these owners; one who has none is left out."""
    rows = connection.execute(select(SHARES).where(SHARES.c.owner.in_(tuple(owners))))
    return {row.owner: Share(row.tag, row.weight, row.used) for row in rows}


def charge(connection: Connection, owner: str, predicted: float) -> None:
    """A job starts: charge its owner and let virtual time go on to the tag it started at."""
    share = _locked(connection, owner)
    _keep(connection, owner, share.charged(predicted))
    later = and_(SCHEDULE.c.number == ONLY, SCHEDULE.c.virtual < share.tag)
    connection.execute(update(SCHEDULE).where(later).values(virtual=share.tag))


def settle(connection: Connection, owner: str, predicted: float, measured: float) -> None:
    """A job that was charged `predicted` has taken `measured`; 0 takes the charge back."""
    _keep(connection, owner, _locked(connection, owner).settled(predicted, measured))


def _locked(connection: Connection, owner: str) -> Share:
    row = connection.execute(select(SHARES).where(SHARES.c.owner == owner).with_for_update()).first()
    if row is None:
        virtual = schedule(connection).virtual
        connection.execute(insert_or_leave(connection, SHARES).values(owner=owner, tag=virtual, weight=1.0, used=0.0))
        return Share(virtual)
    return Share(row.tag, row.weight, row.used)


def _keep(connection: Connection, owner: str, share: Share) -> None:
    values = {"tag": share.tag, "weight": share.weight, "used": share.used}
    connection.execute(update(SHARES).where(SHARES.c.owner == owner).values(values))
