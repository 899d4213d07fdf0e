"""Counts in the memory of this process. A restart forgets them, which costs at most one window's limit."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from modules.contracts.counters import Count, Limit

MOST_KEYS = 16_384
"""Keys above which those that were asked for longest ago go, so that strangers cannot fill the memory."""


@dataclass(slots=True)
class _Taken:
    ticket: str
    moment: float
    amount: int


class MemoryCounters:
    """`modules.contracts.counters.Counters` with a sliding log for each key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_keys: int = MOST_KEYS) -> None:
        """`clock` gives seconds and never runs backwards."""
        self._clock = clock
        self._most_keys = most_keys
        self._lock = threading.Lock()
        self._taken: OrderedDict[str, list[_Taken]] = OrderedDict()
        self._numbers = itertools.count()

    def take(self, key: str, amount: int, limit: Limit) -> Count:
        """Count `amount` where the limit allows it."""
        with self._lock:
            now = self._clock()
            log = self._current(key, limit, now)
            used = sum(entry.amount for entry in log)
            if used + amount > limit.most:
                return Count(used, _wait(log, amount, limit, now))
            entry = _Taken(str(next(self._numbers)), now, amount)
            log.append(entry)
            self._taken[key] = log
            self._taken.move_to_end(key)
            while len(self._taken) > self._most_keys:
                self._taken.popitem(last=False)
            return Count(used + amount, ticket=entry.ticket)

    def look(self, key: str, amount: int, limit: Limit) -> Count:
        """What `take` would say."""
        with self._lock:
            now = self._clock()
            log = self._current(key, limit, now)
            used = sum(entry.amount for entry in log)
            return Count(used, _wait(log, amount, limit, now) if used + amount > limit.most else 0.0)

    def give_back(self, key: str, ticket: str) -> None:
        """Undo a `take`."""
        with self._lock:
            log = [entry for entry in self._taken.get(key, ()) if entry.ticket != ticket]
            if log:
                self._taken[key] = log
            else:
                self._taken.pop(key, None)

    def close(self) -> None:
        """Nothing is open."""

    def _current(self, key: str, limit: Limit, now: float) -> list[_Taken]:
        """What counts now, oldest first; what is over is forgotten."""
        log = [entry for entry in self._taken.get(key, ()) if entry.moment > now - limit.seconds]
        if key in self._taken and not log:
            del self._taken[key]
        return log


def _wait(log: list[_Taken], amount: int, limit: Limit, now: float) -> float:
    """Seconds until enough of what was taken is over."""
    left = sum(entry.amount for entry in log)
    for entry in log:
        left -= entry.amount
        if left + amount <= limit.most:
            return entry.moment + limit.seconds - now
    return limit.seconds
