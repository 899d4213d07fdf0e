"""Which models stay in memory: a pool of leased values, least recently used out first.

Contract of the lock. One lock guards the table and nothing else; it is never held while `load`, `dispose`, `size_of` or
`budget` run, so any of them may take long, may use the pool for *other* keys and may take locks of its own. A thread
that leases a key which another thread is loading waits for that load and for nothing else.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from modules.contracts.errors import JobCancelled
from modules.support.tally import Tally

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Resident(Generic[K]):
    """One row of the pool's table, for people and tests."""

    key: K
    bytes: int
    leases: int
    loading: bool


class _Entry(Generic[V]):
    """A value on its way in or there. Fields change under the pool's lock only, except `value` and `error`, which the
    loading thread writes before it sets `settled`."""

    def __init__(self, expected: int) -> None:
        self.settled = threading.Event()
        self.loader = threading.get_ident()
        self.error: BaseException | None = None
        self.value: V
        self.bytes = expected
        self.leases = 1
        self.used = 0
        self.doomed = False


class ModelPool(Generic[K, V]):
    """Values by key, loaded on demand, kept while there is room, and never taken from under a lease.

    `budget` is the bytes that resident values may take together and `limit` how many there may be; either may be a
    function, asked each time. When everything is leased a further value is loaded all the same, because refusing would
    stop a job that may well fit, and the excess goes as soon as a lease ends.
    """

    def __init__(
        self,
        *,
        budget: int | Callable[[], int],
        limit: int | Callable[[], int],
        size_of: Callable[[V], int],
        dispose: Callable[[V], None] = lambda value: None,
        tally: Tally | None = None,
    ) -> None:
        """`size_of` gives bytes of a loaded value; `dispose` releases one that leaves, and may raise.

        `tally` counts leases of what was there or on its way, and of what had to be loaded.
        """
        self._budget = budget if callable(budget) else lambda: budget
        self._limit = limit if callable(limit) else lambda: limit
        self._size_of = size_of
        self._dispose = dispose
        self._tally = tally or Tally()
        self._lock = threading.Lock()
        self._entries: dict[K, _Entry[V]] = {}
        self._clock = itertools.count(1)

    @contextlib.contextmanager
    def lease(self, key: K, load: Callable[[], V], *, expected: int = 0) -> Iterator[V]:
        """The value of `key`, safe from eviction until the block ends.

        `load` is called when the value is not resident, by one thread only; others that want the same key wait for it
        and get its error if it fails, except that a cancelled loader is no reason for them to stop: the next of them
        loads. A failed load leaves nothing behind. `expected` is the size in bytes where it is known beforehand; room
        is made for it first. Raises `RuntimeError` when `load` leases its own key.
        """
        with self._lock:
            self._tally.count(hit=key in self._entries)
        entry = self._take(key, load, expected)
        try:
            yield entry.value
        finally:
            self._release(key, entry)

    def _take(self, key: K, load: Callable[[], V], expected: int) -> _Entry[V]:
        while True:
            with self._lock:
                entry = self._entries.get(key)
                mine = entry is None
                if entry is None:
                    entry = self._entries[key] = _Entry(expected)
                else:
                    entry.leases += 1
            if mine:
                self._load(key, entry, load)
                return entry
            if not entry.settled.is_set() and entry.loader == threading.get_ident():
                with self._lock:
                    entry.leases -= 1
                raise RuntimeError(f"Loading {key!r} leased itself.")
            entry.settled.wait()
            if entry.error is None:
                return entry
            if isinstance(entry.error, Exception) and not isinstance(entry.error, JobCancelled):
                raise entry.error

    def _load(self, key: K, entry: _Entry[V], load: Callable[[], V]) -> None:
        try:
            self.trim()
            entry.value = load()
            size = self._size_of(entry.value)
        except BaseException as error:
            entry.error = error
            with self._lock:
                self._forget(key, entry)
            entry.settled.set()
            raise
        with self._lock:
            entry.bytes = size
            entry.used = next(self._clock)
        entry.settled.set()
        try:
            self.trim()
        except BaseException:
            self._release(key, entry)
            raise

    def _forget(self, key: K, entry: _Entry[V]) -> None:
        """Take the row out if it is still this one. The lock is held."""
        if self._entries.get(key) is entry:
            del self._entries[key]

    def _release(self, key: K, entry: _Entry[V]) -> None:
        with self._lock:
            entry.leases -= 1
            entry.used = next(self._clock)
            gone = entry.doomed and entry.leases == 0
        try:
            if gone:
                self._dispose(entry.value)
        finally:
            self.trim()

    def trim(self) -> int:
        """Evict what is over budget or limit now, e.g. after the settings changed; returns how many left."""
        budget, limit = self._budget(), self._limit()
        victims: list[V] = []
        with self._lock:
            idle = sorted(
                (item for item in self._entries.items() if item[1].leases == 0), key=lambda item: item[1].used
            )
            total = sum(entry.bytes for entry in self._entries.values())
            for key, entry in idle:
                if total <= budget and len(self._entries) <= limit:
                    break
                del self._entries[key]
                total -= entry.bytes
                victims.append(entry.value)
        return self._dispose_all(victims)

    def evict(self, key: K) -> bool:
        """Let go of one value, e.g. because its file changed. A leased one is forgotten at once, so that the next
        lease loads anew, and disposed of when its last lease ends. False when it is not there or still loading."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or not entry.settled.is_set():
                return False
            victims = self._doom(key, entry)
        self._dispose_all(victims)
        return True

    def evict_all(self) -> int:
        """Let go of everything that is not being loaded, as `evict` does; returns how many left the table."""
        victims: list[V] = []
        count = 0
        with self._lock:
            for key, entry in list(self._entries.items()):
                if entry.settled.is_set():
                    count += 1
                    victims.extend(self._doom(key, entry))
        self._dispose_all(victims)
        return count

    def _doom(self, key: K, entry: _Entry[V]) -> list[V]:
        """Take a settled row out; its value when nobody holds it. The lock is held."""
        self._forget(key, entry)
        entry.doomed = entry.leases > 0
        return [] if entry.doomed else [entry.value]

    def _dispose_all(self, victims: list[V]) -> int:
        count = len(victims)
        with contextlib.ExitStack() as stack:
            # On a stack every value is disposed of even when one of them raises.
            for value in reversed(victims):
                stack.callback(self._dispose, value)
            victims.clear()
        return count

    def resident(self) -> tuple[Resident[K], ...]:
        """The table, least recently used first; values being loaded come last."""
        with self._lock:
            rows = [
                (not entry.settled.is_set(), entry.used, Resident(key, entry.bytes, entry.leases, False), entry)
                for key, entry in self._entries.items()
            ]
        rows.sort(key=lambda row: row[:2])
        return tuple(Resident(row[2].key, row[2].bytes, row[2].leases, row[0]) for row in rows)

    @property
    def bytes(self) -> int:
        """Bytes of everything in the table, expected ones included."""
        with self._lock:
            return sum(entry.bytes for entry in self._entries.values())
