"""What owners note of their jobs, which changes nothing of how these run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, update

from modules.call_queue.pruning import clear
from modules.call_queue.tables import JOBS
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import LONGEST_NAME


class Marking:
    """The part of `JobStore` that keeps names and bookmarks, and takes away what nobody wants to see any more."""

    engine: Engine

    def mark(self, job_id: str, *, name: str | None = None, bookmarked: bool | None = None) -> bool:
        """Note a name, a bookmark or both; None leaves either as it is. False for an unknown job.

        Raises `InvalidRequest` for a name that is too long or does not print; an empty one takes the name away.
        """
        values: dict[str, Any] = {}
        if name is not None:
            if len(name) > LONGEST_NAME or not name.isprintable():
                shown = name[:LONGEST_NAME]
                raise InvalidRequest(f"A job's name has at most {LONGEST_NAME} printable characters, not {shown!r}.")
            values["name"] = name
        if bookmarked is not None:
            values["bookmarked"] = bookmarked
        if not values:
            raise InvalidRequest("Neither a name nor a bookmark was given.")
        with self.engine.begin() as connection:
            return connection.execute(update(JOBS).where(JOBS.c.id == job_id).values(values)).rowcount == 1

    def forget(self, owner: str | None = None) -> int:
        """Take ended jobs without a bookmark out of the table, of one owner when given; returns how many."""
        return clear(self.engine, owner)
