"""The calls that wait for the executor, and which of them are run next."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator

from modules.processing_diffusers.multiplexer.admission import Admission, Lane, Times
from modules.processing_diffusers.multiplexer.call import Call
from modules.prompts.encoding import common_length


class Line:
    """Calls in the order in which they came. Not thread-safe by itself; the multiplexer holds its lock."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._calls: list[Call] = []
        self._firsts: set[int] = set()
        self._since: dict[Hashable, float] = {}
        self._arrived = 0.0

    def __len__(self) -> int:
        return len(self._calls)

    def join(self, call: Call, now: float) -> None:
        """A call came in at `now`."""
        lane: Lane = call.lane
        if call.target.stepped:
            if lane.coming:
                self._firsts.add(id(call))
            self._admission.stepped(lane, now)
        lane.last, lane.waiting = call.key, True
        self._calls.append(call)
        self._arrived = now

    def choose(self, lanes: Collection[Lane], *, window: float, now: float, hurry: bool) -> tuple[list[Call], float]:
        """Calls to be run as one now, taken out of the line; or none, and the seconds after which to ask again."""
        group, left = self.look(lanes, window=window, now=now, hurry=hurry)
        if group:
            self._take(group)
        return group, left

    def look(self, lanes: Collection[Lane], *, window: float, now: float, hurry: bool) -> tuple[list[Call], float]:
        """As `choose`, but nothing is taken.

        The oldest go first. While they wait for more, others are run that take no longer than that wait; with `hurry`
        nothing waits.
        """
        left = float("inf")
        for group in self._groups():
            key = group[0].key
            known = self._admission.seconds(key)
            if left < float("inf") and (known is None or known > left):
                continue
            since = self._since.setdefault(key, now)
            full = sum(call.samples for call in group) >= min(call.limit for call in group)
            patience = 0.0
            if not full and not hurry:
                patience = self._admission.patience(
                    key,
                    [call.lane for call in group],
                    lanes,
                    Times(now, since, self._arrived),
                    first=all(id(call) in self._firsts for call in group),
                    window=window,
                )
            if patience <= 0:
                return group, 0.0
            left = min(left, patience)
        return [], left

    def _groups(self) -> Iterator[list[Call]]:
        """Calls that may be run as one, by the age of the oldest of each kind."""
        seen: set[Hashable] = set()
        for place, call in enumerate(self._calls):
            if call.key not in seen:
                seen.add(call.key)
                yield self._gather(place)

    def _gather(self, place: int) -> list[Call]:
        """The call at `place` and all later ones that fit beside it."""
        oldest = self._calls[place]
        group, samples, limit = [oldest], oldest.samples, oldest.limit
        lengths = {oldest.length}
        for call in self._calls[place + 1 :]:
            limit_then = min(limit, call.limit)
            if call.key != oldest.key or samples + call.samples > limit_then:
                continue
            if call.length in lengths or common_length({*lengths, call.length}) is not None:
                group.append(call)
                samples, limit = samples + call.samples, limit_then
                lengths.add(call.length)
        return group

    def _take(self, group: list[Call]) -> None:
        taken = set(map(id, group))
        self._calls = [call for call in self._calls if id(call) not in taken]
        self._firsts -= taken
        self._since.pop(group[0].key, None)
