"""Counting what happens within a span of time, for limits; `modules.accounts.counters` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` within any `seconds`: the window slides, it does not start anew on the hour."""

    most: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Count:
    """What a counter says."""

    used: int
    """Counted within the window, what was just taken included."""
    wait: float = 0.0
    """Seconds until what was asked for fits; 0 where it fits now. The whole window for what never fits."""
    ticket: str | None = None
    """By which what was taken can be given back; None where nothing was taken."""


class Counters(Protocol):
    """Counts by key. Safe from several threads; what is taken at the same time never exceeds the limit.

    All methods raise `NotReady` where the place that counts does not answer: a limit that is not kept while something
    is broken would be none, so whoever needs a counter waits, and whoever needs none goes on.

    Time is the counter's own, so a clock that is put right lifts or prolongs no limit by more than its window.
    """

    def take(self, key: str, amount: int, limit: Limit) -> Count:
        """Count `amount` under `key` where the limit allows it, else nothing. `amount` is 1 or more."""

    def look(self, key: str, amount: int, limit: Limit) -> Count:
        """What `take` would say, without counting anything; with an `amount` of 0 only what is used."""

    def give_back(self, key: str, ticket: str) -> None:
        """Undo a `take`. Nothing happens when its time is over already."""

    def close(self) -> None:
        """Let go of connections; safe to call twice."""
