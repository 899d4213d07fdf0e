"""What a request has to pass before the queue takes it: it can be drawn here, and there is room for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol

from modules.call_queue.listing import Listing, Load
from modules.contracts.errors import InvalidRequest, NotReady, OverLimit
from modules.contracts.jobs import PLAIN, JobTerms, freely
from modules.contracts.request import GenerationRequest

DEPTH = 10_000
"""Waiting jobs above which no more are taken."""
RETRY_SECONDS = 30.0
"""When to come again for somebody whose requests fill their part of the queue: the time of a job or two."""
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes of requests may wait; 0 is no bound."""

    whole: int = 0
    """Of everybody together."""
    owner: int = 0
    """Of one owner."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What somebody wants to have taken in as a job."""

    request: GenerationRequest
    owner: str
    job_id: str | None = None
    """The id that it is to have; None leaves it to the queue."""
    terms: JobTerms = PLAIN
    admit: Callable[[str], None] = freely
    """Handed the id once nothing else stands in the way; what it raises keeps the job out."""
    origin: str | None = None
    """The job that it repeats."""


class Values(Protocol):
    """Settings by key."""

    def __getitem__(self, key: str) -> Any:
        """The value that holds now."""


def room_of(settings: Values) -> Room:
    """What the settings say at this moment."""
    return Room(*(int(settings[key]) * MEGABYTE for key in ("queue_input_mb", "queue_input_mb_per_owner")))


def _anything(request: GenerationRequest) -> None:
    """Of a queue that leaves it to the engine to say what it cannot draw."""


def _endless() -> Room:
    """Of a queue whose requests may be as large as the disk."""
    return Room()


@dataclass(frozen=True, slots=True)
class Entrance:
    """The rules by which requests are taken. They hold for every new job, repetitions included."""

    examine: Callable[[GenerationRequest], None] = _anything
    """Raises a `StudioError` for what no lane would draw; decodes nothing and is quick."""
    room: Callable[[], Room] = _endless
    """Asked at each request."""

    def check(self, request: GenerationRequest, owner: str, jobs: Listing) -> None:
        """Raise what `examine` and `check_room` raise."""
        self.examine(request)
        self.check_room(request, jobs.load(owner))

    def check_room(self, request: GenerationRequest, load: Load) -> None:
        """Raise when the request does not fit beside those that wait.

        `OverLimit` where its owner's fill their part, `NotReady` where everybody's fill the whole or too many jobs
        wait, and `InvalidRequest` for one that would not fit into an empty queue either.
        """
        if load.jobs >= DEPTH:
            raise NotReady(f"{load.jobs} jobs are waiting already; at most {DEPTH} are taken.")
        room, size = self.room(), size_of(request)
        for most, waiting, owned in ((room.owner, load.mine, True), (room.whole, load.size, False)):
            if most and size > most:
                raise InvalidRequest(f"The request has {_mb(size)}; requests of at most {_mb(most)} may wait.")
            if not most or waiting + size <= most:
                continue
            told = f"waiting have {_mb(waiting)} and this one {_mb(size)}; at most {_mb(most)} may wait"
            if owned:
                raise OverLimit(f"Your requests that are {told}.", retry_after=RETRY_SECONDS)
            raise NotReady(f"All requests that are {told} together.")


OPEN = Entrance()
"""Takes what is in bounds."""


def size_of(value: Any) -> int:
    """Bytes of the pictures and words of a request as it is stored, pictures in base64.

    The names of its fields and its numbers, about a thousand more, are left out.
    """
    if isinstance(value, bytes):
        return -(-len(value) // 3) * 4
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, tuple):
        return sum(map(size_of, value))
    if is_dataclass(value):
        return sum(size_of(getattr(value, item.name)) for item in fields(value))
    return 0


def _mb(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"
