"""Whose is it? Jobs and pictures by id, for those who may touch them."""

from __future__ import annotations

from modules.contracts.accounts import Caller
from modules.contracts.errors import NotAllowed, UnknownName
from modules.contracts.jobs import JobRecord
from modules.contracts.pictures import StoredPicture
from modules.support.studio import Studio

ID_LENGTH = 128
SHOWN = 64
"""Characters of a foreign text that are repeated in an answer."""
EVERYBODY = "*"


def job_of(studio: Studio, caller: Caller, job_id: str) -> JobRecord:
    """The job of that id. Raises `UnknownName` when there is none, `NotAllowed` when it is another owner's."""
    record = studio.queue.get(job_id) if _decent(job_id) else None
    if record is None:
        raise UnknownName(f"There is no job {job_id[:SHOWN]!r}.")
    if not caller.may_touch(record.owner):
        raise NotAllowed(f"Job {job_id[:SHOWN]!r} belongs to somebody else.")
    return record


def picture_of(studio: Studio, caller: Caller, picture_id: str) -> StoredPicture:
    """The picture of that id. Raises `UnknownName` when there is none, `NotAllowed` when it is another owner's."""
    row = studio.pictures.get(picture_id) if _decent(picture_id) else None
    if row is None:
        raise UnknownName(f"There is no picture {picture_id[:SHOWN]!r}.")
    if not caller.may_touch(row.owner):
        raise NotAllowed(f"Picture {picture_id[:SHOWN]!r} belongs to somebody else.")
    return row


def owner_wanted(caller: Caller, wanted: str | None) -> str | None:
    """Whose jobs or pictures a list is about: the caller's own unless they name somebody; None is everybody's.

    Raises `NotAllowed` when somebody who is no admin names another.
    """
    if wanted is None or wanted == caller.name:
        return caller.name
    if not caller.is_admin:
        raise NotAllowed("Only an admin may look at what belongs to others.")
    return None if wanted == EVERYBODY else wanted


def _decent(text: str) -> bool:
    """Whether an id could be one; databases refuse some characters with an error of their own."""
    return 0 < len(text) <= ID_LENGTH and text.isprintable()
