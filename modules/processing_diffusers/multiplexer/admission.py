"""How long a call waits for other lanes before it is run.

Waiting pays only for a lane that is likely to come with the same call: one that stands between two calls and made this
one last, or was released by the same forward as a lane that makes it now (lanes that took their last step together will
decode together). Nothing is waited for when a lane is alone. After each arrival the others get `window` seconds more,
because lanes that were released together come back one after the other; all in all no call waits longer than a share
of what the forward itself was measured to take.

Lanes that begin together should also take their first step together: one that goes ahead makes a forward for itself
alone, and so do the others at the end. So first steps wait for lanes that are on their way to theirs, about as long as
lanes were measured to need, and never longer than a forward takes. Lanes that step already are not held up: whoever
comes later joins them at their next step.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

SHARE = 0.5
"""Longest total wait for a lane between two calls, as a share of the forward's measured time."""
LOADED = 1.0
"""Seconds. A lane that needs longer to its first step was waiting for a model, which says nothing about others."""
REMEMBERED = 256
"""Number of keys whose times are kept."""


class Lane:
    """One running job as the multiplexer sees it. Its fields are guarded by the multiplexer's lock."""

    def __init__(self, digests: Any, born: float = 0.0) -> None:
        self.digests = digests
        self.born = born
        """When it was registered."""
        self.coming = True
        """It is on its way to its first step."""
        self.last: Hashable = None
        """Key of its latest call; None before the first and while it does something else."""
        self.cohort: int | None = None
        """Number of the forward that released it last; None like `last`."""
        self.waiting = False
        """It stands at the multiplexer now."""


@dataclass(frozen=True, slots=True)
class Times:
    """What a wait is reckoned from, all by one clock, in seconds."""

    now: float
    since: float
    """When these calls became the next to run."""
    arrived: float
    """When the latest call of any lane came in."""


class Admission:
    """Decides how long to wait. Not thread-safe by itself; the multiplexer holds its lock."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[Hashable, float] = OrderedDict()
        self._approach: tuple[float, float] | None = None

    def measured(self, key: Hashable, seconds: float) -> None:
        """Remember how long a forward took."""
        before = self._seconds.pop(key, seconds)
        self._seconds[key] = 0.7 * before + 0.3 * seconds
        if len(self._seconds) > REMEMBERED:
            self._seconds.popitem(last=False)

    def stepped(self, lane: Lane, now: float) -> None:
        """The lane makes a step at `now`; with its first one it is learnt how long lanes need to get there."""
        if not lane.coming:
            return
        lane.coming = False
        needed = now - lane.born
        if needed > LOADED:
            return
        if self._approach is None:
            self._approach = (needed, needed / 2)
            return
        mean, spread = self._approach
        self._approach = (0.8 * mean + 0.2 * needed, 0.8 * spread + 0.2 * abs(needed - mean))

    def seconds(self, key: Hashable) -> float | None:
        """What a forward of that key takes; None while that is not known."""
        return self._seconds.get(key)

    def patience(
        self,
        key: Hashable,
        group: Collection[Lane],
        lanes: Collection[Lane],
        times: Times,
        *,
        first: bool,
        window: float,
    ) -> float:
        """Seconds that the calls of `key` by the lanes of `group` wait for more; 0 or less runs at once.

        `first` says that all of them are first steps.
        """
        ends = [times.now]
        cost = self._seconds.get(key, window / SHARE)
        cohorts = {lane.cohort for lane in group} - {None}
        if any(not lane.waiting and (lane.last == key or lane.cohort in cohorts) for lane in lanes):
            ends.append(min(max(times.since, times.arrived) + window, times.since + cost * SHARE))
        if first:
            ends.append(min(self._expected(lanes), times.since + cost))
        return max(ends) - times.now

    def _expected(self, lanes: Iterable[Lane]) -> float:
        """When the last of those that are on their way will have come; long ago where there is none."""
        last = max((lane.born for lane in lanes if lane.coming), default=None)
        if last is None:
            return 0.0
        if self._approach is None:
            return float("inf")
        mean, spread = self._approach
        return last + mean + 2 * spread
