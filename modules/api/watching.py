"""Following jobs: whose events a caller gets, where they begin, and when they end. SSE and WebSocket both read this."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.api.access import job_of, owner_wanted
from modules.api.feed import Entry, Feed, FellBehind, Look, Reader
from modules.api.jobs import view
from modules.contracts.accounts import Caller, Proof
from modules.contracts.validation import MAX_PICTURES
from modules.support.studio import Studio

HEARTBEAT_SECONDS = 15.0
SEND_SECONDS = 20.0
"""How long a reader may take for one message before it is dropped."""
RECHECK = 4
"""Heartbeats after which it is asked again whether the caller may still come in."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be told."""

    name: str
    body: Mapping[str, Any]
    id: str | None = None
    """To resume from; None for what is no event of the list."""
    look: Look | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Watch:
    """What somebody follows."""

    caller: Caller
    proof: Proof
    job_id: str | None
    """One job; None is all of `owner`."""
    owner: str | None
    """None is everybody."""
    previews: bool
    after: str | None
    """Id of the last event that the client has seen."""


def watch_for(
    studio: Studio,
    caller: Caller,
    proof: Proof,
    job_id: str | None,
    owner: str | None,
    previews: bool,
    after: str | None,
) -> Watch:
    """What that caller may follow. Raises `UnknownName` and `NotAllowed`."""
    if job_id is not None:
        return Watch(caller, proof, job_id, job_of(studio, caller, job_id).owner, previews, after)
    return Watch(caller, proof, None, owner_wanted(caller, owner), previews, after)


def place_of(feed: Feed, after: str | None) -> int | None:
    """The number of that event; None when it is of another process, forgotten, or no id at all."""
    epoch, _, number = (after or "").partition("-")
    if epoch != feed.epoch or not number.isdecimal() or len(number) > 18:
        return None
    return int(number) if feed.holds(int(number)) else None


async def follow(studio: Studio, feed: Feed, watch: Watch) -> AsyncGenerator[Message]:
    """Everything that happens to what is watched, until the job ends, the caller is locked out, or falls behind.

    It begins where the client left off; when that is not known, with a `snapshot` of what is.
    """
    with feed.reading(watch.caller.name) as reader:
        place = place_of(feed, watch.after)
        if place is None:
            snapshot = await asyncio.to_thread(_snapshot, studio, watch)
            yield Message("snapshot", snapshot, f"{feed.epoch}-{reader.place}")
            if watch.job_id is not None and snapshot["job"]["state"] in ("done", "failed", "cancelled"):
                return
        else:
            reader.place = place
        async with contextlib.aclosing(_go_on(studio, feed, watch, reader)) as messages:
            async for message in messages:
                yield message


async def _go_on(studio: Studio, feed: Feed, watch: Watch, reader: Reader) -> AsyncGenerator[Message]:
    beats = 0
    while True:
        try:
            entries = await reader.more(HEARTBEAT_SECONDS)
        except FellBehind:
            yield Message("dropped", {"reason": "You read too slowly; come back without the last id for a new start."})
            return
        if not entries:
            beats += 1
            if beats % RECHECK == 0 and await asyncio.to_thread(_locked_out, studio, watch):
                yield Message("dropped", {"reason": "You are no longer signed in."})
                return
            yield Message("heartbeat", {})
        for entry in entries:
            if not await _concerns(feed, watch, entry):
                continue
            look = feed.look(entry) if entry.name == "preview" else None
            if entry.name == "preview" and (look is None or not watch.previews):
                continue
            body = {"job_id": entry.job_id, **entry.fields}
            if entry.name == "picture":
                body["picture_id"] = await asyncio.to_thread(_picture_id, studio, entry)
            yield Message(entry.name, body, f"{feed.epoch}-{entry.number}", look)
            if watch.job_id is not None and entry.ends:
                return


async def _concerns(feed: Feed, watch: Watch, entry: Entry) -> bool:
    if watch.job_id is not None:
        return entry.job_id == watch.job_id
    if watch.owner is None:
        return True
    owner = feed.known_owner(entry.job_id) or await asyncio.to_thread(feed.owner_of, entry.job_id)
    return owner == watch.owner


def ended_before(studio: Studio, feed: Feed, watch: Watch) -> bool:
    """The job has ended and the client knows it, so that there is nothing to wait for."""
    place = place_of(feed, watch.after)
    if watch.job_id is None or place is None:
        return False
    record = studio.queue.get(watch.job_id)
    if record is None or record.ended is None:
        return False
    try:
        return all(entry.job_id != watch.job_id for entry in feed.after(place))
    except FellBehind:
        return False


def _snapshot(studio: Studio, watch: Watch) -> dict[str, Any]:
    if watch.job_id is not None:
        return {"job": view(studio, watch.job_id).model_dump(mode="json")}
    running = studio.queue.running(watch.owner)
    jobs = [view(studio, job.job_id).model_dump(mode="json") for job in running]
    return {"running": jobs, "pending": studio.queue.pending(watch.owner)}


def _picture_id(studio: Studio, entry: Entry) -> str | None:
    """The gallery's id of a finished picture; None when it was not to be saved."""
    rows = studio.pictures.list(job_id=entry.job_id, limit=MAX_PICTURES)
    return next((row.id for row in rows if row.index == entry.fields.get("index")), None)


def _locked_out(studio: Studio, watch: Watch) -> bool:
    caller = studio.door.identify(watch.proof)
    return caller is None or (caller.name, caller.role) != (watch.caller.name, watch.caller.role)
