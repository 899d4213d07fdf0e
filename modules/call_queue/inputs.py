"""Pictures that came with a job, kept after its end so that it can be asked for again and its own pictures verified.

While a job waits or runs, its request is one text. When it ends, a large one gives its pictures to a table where each
is there once, named by the SHA-256 of its bytes, however many jobs came with it: the text keeps the name. They leave
when no job of the table names them any more, and the ones that were used longest ago when all together are too large.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, update

from modules.call_queue.database import insert_or_leave, lock_for_writing
from modules.call_queue.tables import INPUTS, JOB_INPUTS
from modules.contracts.codec import BYTES

KEPT = "$kept"
"""Stands in a stored request where `BYTES` stood, with the name of what is kept."""
DEFAULT_LIMIT = 512 * 2**20
"""Bytes of all that is kept."""


def take_out(stored: str) -> tuple[str, dict[str, bytes]]:
    """A stored request with names in place of its pictures, and these by name. Raises `ValueError` for no JSON."""
    found: dict[str, bytes] = {}

    def name(entry: dict[str, Any]) -> dict[str, Any]:
        if set(entry) != {BYTES} or not entry[BYTES]:  # no picture came: nothing to keep
            return entry
        data = base64.b64decode(entry[BYTES])
        digest = hashlib.sha256(data).hexdigest()
        found[digest] = data
        return {KEPT: digest}

    document = json.loads(stored, object_hook=name)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")), found


def put_back(connection: Connection, stored: str) -> Any | None:
    """The JSON value of a stored request with its pictures; None when one of them is not kept any more."""
    names: set[str] = set()

    def note(entry: dict[str, Any]) -> dict[str, Any]:
        if set(entry) == {KEPT}:
            names.add(entry[KEPT])
        return entry

    document = json.loads(stored, object_hook=note)
    if not names:
        return document
    rows = connection.execute(select(INPUTS.c.hash, INPUTS.c.data).where(INPUTS.c.hash.in_(names)))
    found = {row.hash: base64.b64encode(row.data).decode("ascii") for row in rows}
    return _filled(document, found) if found.keys() == names else None


def _filled(value: Any, found: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(item, found) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {KEPT}:
        return {BYTES: found[value[KEPT]]}
    return {key: _filled(item, found) for key, item in value.items()}


def keep(connection: Connection, job_id: str, found: Mapping[str, bytes], now: float) -> None:
    """Keep what came with that job, as last used `now`, in the caller's transaction."""
    for name in sorted(found):  # always in one order, so that two transactions never wait for each other
        values = {"hash": name, "size": len(found[name]), "used": now, "data": found[name]}
        connection.execute(insert_or_leave(connection, INPUTS).values(values))
        connection.execute(update(INPUTS).where(INPUTS.c.hash == name).values(used=now))
        connection.execute(insert_or_leave(connection, JOB_INPUTS).values(job_id=job_id, hash=name))


def forget(connection: Connection, job_ids: Sequence[str]) -> None:
    """Take away what came with those jobs and with no other, in the caller's transaction."""
    connection.execute(delete(JOB_INPUTS).where(JOB_INPUTS.c.job_id.in_(job_ids)))
    _remove(connection, INPUTS.c.hash.not_in(select(JOB_INPUTS.c.hash)))


def trim(engine: Engine, limit: int) -> int:
    """Take away what was used longest ago until at most `limit` bytes are left; how many pictures went."""
    with engine.connect() as connection:
        total = connection.execute(select(func.coalesce(func.sum(INPUTS.c.size), 0))).scalar_one()
    if total <= limit:
        return 0
    latest = (INPUTS.c.used.desc(), INPUTS.c.hash)
    ranked = select(INPUTS.c.hash, func.sum(INPUTS.c.size).over(order_by=latest).label("so_far")).subquery()
    beyond = select(ranked.c.hash).where(ranked.c.so_far > limit)
    with engine.begin() as connection:
        lock_for_writing(connection)
        return _remove(connection, INPUTS.c.hash.in_(beyond))


def _remove(connection: Connection, which: ColumnElement[bool]) -> int:
    """Remove those that no other process has in hand: to wait for one while holding others could be for ever."""
    free = select(INPUTS.c.hash).where(which).with_for_update(skip_locked=True)
    names = list(connection.execute(free).scalars())
    return connection.execute(delete(INPUTS).where(INPUTS.c.hash.in_(names))).rowcount
