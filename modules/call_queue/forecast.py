"""When each job will be done: the schedule played forward. Pure, like the schedule itself.

Jobs in lanes end when their time is up, the next one starts by the rules of `modules.call_queue.fairness`, and so on.
Nothing is supposed to come meanwhile; what comes later may go first, so a forecast gets longer when others submit.
Preference for a resident model is left out: it moves a start by no more than the policy's patience.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modules.call_queue.estimates import Spread, sum_up
from modules.call_queue.fairness import Ledger, Share, Waiting

HORIZON = 400
"""Starts that are played forward; jobs behind them get a position and no time."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to come for one waiting job."""

    position: int
    """Jobs that start before it."""
    end: Spread | None
    """Seconds from now until it is done."""


def look_ahead(
    waiting: Sequence[Waiting],
    running: Sequence[Spread],
    shares: Mapping[str, Share],
    lanes: int,
    predict: Callable[[Waiting], Spread | None],
    virtual: float = 0.0,
) -> dict[str, Outlook]:
    """The outlook of every job of `waiting`, by id.

    `running` holds the seconds that are left to each job in a lane, `predict` what one will take from its start, None
    when nobody knows.
    """
    ledger = Ledger(shares, virtual)
    free: list[tuple[float, int, tuple[Spread, ...]]] = [
        (spread.likely, index, (spread,)) for index, spread in enumerate(running)
    ]
    free += [(0.0, index, ()) for index in range(len(running), max(lanes, len(running), 1))]
    heapq.heapify(free)
    found: dict[str, Outlook] = {}
    blind = False
    for position, job in enumerate(in_turn(waiting, ledger)):
        spread = None if blind or position >= HORIZON else predict(job)
        if spread is None:
            blind = True  # who starts behind a job of unknown length starts at an unknown time
            found[job.id] = Outlook(position, None)
            continue
        moment, index, before = heapq.heappop(free)
        path = (*before, spread)
        found[job.id] = Outlook(position, sum_up(path))
        heapq.heappush(free, (moment + spread.likely, index, _shorten(path)))
    return found


def in_turn(waiting: Sequence[Waiting], ledger: Ledger) -> list[Waiting]:
    """All of them in the order in which fairness starts them. Changes `ledger`."""
    queues: dict[str, deque[Waiting]] = defaultdict(deque)
    for job in sorted(waiting, key=lambda job: (job.place, job.number)):
        queues[job.owner].append(job)
    heap = [(*_rank(ledger, owner), queue[0].place, queue[0].number) for owner, queue in queues.items()]
    heapq.heapify(heap)
    order = []
    while heap:
        _, _, owner, _, _ = heapq.heappop(heap)
        job = queues[owner].popleft()
        order.append(job)
        ledger.start(job)
        if queues[owner]:
            heapq.heappush(heap, (*_rank(ledger, owner), queues[owner][0].place, queues[owner][0].number))
    return order


def _rank(ledger: Ledger, owner: str) -> tuple[float, float, str]:
    share = ledger.shares.get(owner, Share())
    return share.tag, share.used, owner


def _shorten(path: tuple[Spread, ...]) -> tuple[Spread, ...]:
    """The same sum as one part, so that a long lane is not added up anew for every job; errors stay independent."""
    return path if len(path) < 2 else (sum_up(path),)
