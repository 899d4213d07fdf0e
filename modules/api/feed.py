"""What has happened lately, for readers that come and go: a bounded list of events with numbers, in order.

Readers hold a place in the list instead of a queue of their own, so that a reader costs nothing but that place, and one
that falls so far behind that its place is gone is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from modules.api.event_rows import NAMES, fields_of
from modules.contracts.errors import OverLimit
from modules.contracts.events import TERMINAL, Event, Preview
from modules.contracts.jobs import JobQueue
from modules.support.bus import EventBus

LENGTH = 8192
"""Events that are remembered."""
MOST_LOOKS = 256
"""Jobs whose latest preview is remembered."""
MOST_OWNERS = 4096
MOST_READERS = 32
"""Streams that one caller may have open at a time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, as plain data."""

    number: int
    job_id: str
    name: str
    fields: Mapping[str, Any]

    @property
    def ends(self) -> bool:
        """Nothing more will happen to the job."""
        return self.name in ENDS


ENDS = frozenset(NAMES[kind] for kind in TERMINAL)


@dataclass(frozen=True, slots=True)
class Look:
    """The latest preview of a job."""

    number: int
    data: bytes
    media_type: str


class FellBehind(Exception):
    """The reader's place is no longer in the list."""


class Feed:
    """The list, and whose jobs its events are about. Filled from any thread, read in event loops."""

    def __init__(self, bus: EventBus, queue: JobQueue, length: int = LENGTH) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=length)
        self._last = 0
        self._looks: OrderedDict[str, Look] = OrderedDict()
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._readers: dict[Reader, str] = {}
        self.epoch = secrets.token_hex(4)
        """Tells the numbers of this process from those of an earlier one."""
        bus.subscribe(self._take)

    @property
    def last(self) -> int:
        """Number of the latest event."""
        return self._last

    @property
    def readers(self) -> int:
        """How many read now."""
        return len(self._readers)

    def _take(self, event: Event) -> None:
        fields = fields_of(event)
        with self._lock:
            self._last += 1
            entry = Entry(self._last, event.job_id, NAMES[type(event)], fields)
            self._entries.append(entry)
            if isinstance(event, Preview):
                self._looks[event.job_id] = Look(entry.number, event.data, event.media_type)
                self._looks.move_to_end(event.job_id)
                while len(self._looks) > MOST_LOOKS:
                    self._looks.popitem(last=False)
            elif entry.ends:
                self._looks.pop(event.job_id, None)
            readers = list(self._readers)
        for reader in readers:
            reader.stir()

    def look(self, entry: Entry) -> Look | None:
        """The preview of that event, if it is still the latest of its job."""
        found = self._looks.get(entry.job_id)
        return found if found is not None and found.number == entry.number else None

    def after(self, number: int) -> list[Entry]:
        """Events after that one, oldest first. Raises `FellBehind` when some of them are forgotten."""
        with self._lock:
            if number < self._last - len(self._entries):
                raise FellBehind
            fresh = self._last - number
            return [self._entries[place] for place in range(len(self._entries) - fresh, len(self._entries))]

    def holds(self, number: int) -> bool:
        """Whether everything after that event is still here."""
        with self._lock:
            return self._last - len(self._entries) <= number <= self._last

    def known_owner(self, job_id: str) -> str | None:
        """Whose job that is, if it is remembered."""
        with self._lock:
            return self._owners.get(job_id)

    def owner_of(self, job_id: str) -> str | None:
        """Whose job that is. May ask the database, so it blocks."""
        known = self.known_owner(job_id)
        if known is not None:
            return known
        record = self._queue.get(job_id)
        if record is None:
            return None
        with self._lock:
            self._owners[job_id] = record.owner
            while len(self._owners) > MOST_OWNERS:
                self._owners.popitem(last=False)
        return record.owner

    def check_room(self, name: str) -> None:
        """Raises `OverLimit` when the caller has too many streams open."""
        with self._lock:
            if Counter(self._readers.values())[name] >= MOST_READERS:
                raise OverLimit(f"You follow events {MOST_READERS} times already; end one first.", retry_after=5)

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Reader]:
        """A reader on behalf of that caller, from now on. Raises `OverLimit` when the caller has too many open."""
        self.check_room(name)
        reader = Reader(self, asyncio.get_running_loop())
        with self._lock:
            self._readers[reader] = name
        try:
            yield reader
        finally:
            with self._lock:
                self._readers.pop(reader, None)


class Reader:
    """A place in the list."""

    def __init__(self, feed: Feed, loop: asyncio.AbstractEventLoop) -> None:
        self._feed = feed
        self._loop = loop
        self._fresh = asyncio.Event()
        self.place = feed.last

    def stir(self) -> None:
        """Something was added. Safe from any thread; a loop that has closed has nobody left to wake."""
        if not self._fresh.is_set():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._fresh.set)

    async def more(self, timeout: float) -> list[Entry]:
        """What was added since the last time; empty after `timeout` seconds. Raises `FellBehind`."""
        if self._feed.last == self.place:
            with anyio.move_on_after(timeout):
                await self._fresh.wait()
        self._fresh.clear()
        entries = self._feed.after(self.place)
        if entries:
            self.place = entries[-1].number
        return entries
