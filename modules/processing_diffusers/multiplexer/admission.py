"""How long a call waits for other lanes before it is run.

Waiting pays only for a lane that is likely to come with the same call: one that stands between two calls and made this
one last, or was released by the same forward as a lane that makes it now (lanes that took their last step together will
decode together). Nothing is waited for when a lane is alone. After each arrival the others get `window` seconds more,
because lanes that were released together come back one after the other; all in all no call waits longer than a share
of what the forward itself was measured to take.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable
from typing import Any

SHARE = 0.5
"""Longest total wait as a share of the forward's measured time."""
REMEMBERED = 256
"""Number of keys whose times are kept."""


class Lane:
    """One running job as the multiplexer sees it. Its fields are guarded by the multiplexer's lock."""

    def __init__(self, digests: Any) -> None:
        self.digests = digests
        self.last: Hashable = None
        """Key of its latest call; None before the first and while it does something else."""
        self.cohort: int | None = None
        """Number of the forward that released it last; None like `last`."""
        self.waiting = False
        """It stands at the multiplexer now."""


class Admission:
    """Decides how long to wait. Not thread-safe by itself; the multiplexer holds its lock."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[Hashable, float] = OrderedDict()

    def measured(self, key: Hashable, seconds: float) -> None:
        """Remember how long a forward took."""
        before = self._seconds.pop(key, seconds)
        self._seconds[key] = 0.7 * before + 0.3 * seconds
        if len(self._seconds) > REMEMBERED:
            self._seconds.popitem(last=False)

    def patience(
        self,
        key: Hashable,
        group: Collection[Lane],
        lanes: Iterable[Lane],
        *,
        window: float,
        now: float,
        since: float,
        arrived: float,
    ) -> float:
        """Seconds that the calls of `key` by the lanes of `group` wait for more; 0 or less runs at once.

        `since` is when this call became the next to run, `arrived` when the latest call of any lane came in.
        """
        cohorts = {lane.cohort for lane in group} - {None}
        if not any(not lane.waiting and (lane.last == key or lane.cohort in cohorts) for lane in lanes):
            return 0.0
        budget = self._seconds.get(key, window / SHARE) * SHARE
        return min(max(since, arrived) + window, since + budget) - now
