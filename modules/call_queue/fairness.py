"""Whose turn it is. Pure: no clock, no database, no lanes; time and shares are passed in, so it can be simulated.

Between owners this is start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing: A Scheduling
Algorithm for Integrated Services Packet Switching Networks", SIGCOMM 1996), a form of the fair queueing of Demers,
Keshav and Shenker (SIGCOMM 1989) that does not need to know the speed of the server. What is shared is time on a lane.
Every owner has a tag in virtual time; the owner with the lowest goes next, is charged the seconds that the job is
predicted to take, divided by the owner's weight, and once the job has ended the charge is put right to the seconds that
it took. An owner who had nothing waiting starts at the virtual time of now: idleness earns no credit, and a hundred
jobs of one owner stand behind each other and not before the one job of another.

Within an owner jobs are ordered by place: the moment of submission less `priority_seconds` for each level of priority.
So a higher priority overtakes what came less than that before it, and no job is overtaken for ever.

A job whose model is in memory already may go before one whose model is not, within two bounds: its owner must not be
ahead of the other by more than `lead` seconds of service, and nobody is passed over for longer than `patience` seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

PRIORITIES = 10
"""Priorities go from minus this to plus this."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds. All in seconds."""

    priority_seconds: float = 600.0
    """What one level of priority is worth in waiting; twenty levels, so nobody waits 12 000 s for own later jobs."""
    lead: float = 60.0
    """How far an owner may get ahead because the model is there, in seconds of lane time at weight 1."""
    patience: float = 30.0
    """For how long a job may be passed over for the sake of a resident model, from the first time on."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one owner has had: `tag` in virtual seconds, `used` in seconds of lanes, `weight` the part that is due."""

    tag: float = 0.0
    weight: float = 1.0
    used: float = 0.0

    def awakened(self, virtual: float) -> Share:
        """After a job came to an owner who had none waiting."""
        return replace(self, tag=max(self.tag, virtual))

    def charged(self, seconds: float) -> Share:
        """After a job that is predicted to take `seconds` was started."""
        return replace(self, tag=self.tag + seconds / self.weight)

    def settled(self, predicted: float, measured: float) -> Share:
        """After that job took `measured` seconds; 0 refunds a start that did not count."""
        return replace(self, tag=self.tag + (measured - predicted) / self.weight, used=self.used + measured)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that could be started, as far as its turn depends on it."""

    number: int
    """Unique, in order of submission."""
    owner: str
    seconds: float
    """How long it is predicted to take."""
    model: str = ""
    passed: float | None = None
    """When it was first passed over for the sake of a resident model."""
    place: float = 0.0
    crashes: int = 0
    id: str = ""
    work: float = 0.0
    """Megapixel-steps."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Jobs in the order in which to try them, and the one that is passed over when the first of them starts."""

    order: tuple[Waiting, ...] = ()
    passed_over: Waiting | None = None


def take_turn(
    policy: Policy,
    waiting: Collection[Waiting],
    shares: Mapping[str, Share],
    now: float,
    resident: Collection[str] | None = None,
) -> Turn:
    """Who goes next, and who after that if somebody else takes the first.

    `waiting` holds at least the first job of each owner in order of place; `resident` the models that are in memory,
    None when that is not known. Ties go to the owner who has used less, then to the job that came first, so that equal
    input always gives equal output.
    """
    order = tuple(sorted(waiting, key=lambda job: _rank(job, shares)))
    if not order or not resident or order[0].model in resident:
        return Turn(order)
    first = order[0]
    if first.passed is not None and now - first.passed >= policy.patience:
        return Turn(order)
    limit = shares.get(first.owner, Share()).tag + policy.lead
    for index, job in enumerate(order):
        ahead = shares.get(job.owner, Share()).tag > limit
        if job.model in resident and not ahead and not _overtakes(policy, job, first):
            return Turn((job, *order[:index], *order[index + 1 :]), passed_over=first)
    return Turn(order)


def _rank(job: Waiting, shares: Mapping[str, Share]) -> tuple[float, float, str, float, int]:
    share = shares.get(job.owner, Share())
    return share.tag, share.used, job.owner, job.place, job.number


def _overtakes(policy: Policy, job: Waiting, first: Waiting) -> bool:
    """Whether starting `job` before an owner's own first one would break that owner's order of priorities."""
    return job.owner == first.owner and job.place - first.place >= policy.priority_seconds


class Ledger:
    """The same rules over shares in memory, for simulations and forecasts."""

    def __init__(self, shares: Mapping[str, Share] | None = None, virtual: float = 0.0) -> None:
        self.shares = dict(shares or {})
        self.virtual = virtual

    def arrive(self, owner: str) -> None:
        """A job came to an owner who had none waiting."""
        self.shares[owner] = self.shares.get(owner, Share()).awakened(self.virtual)

    def start(self, job: Waiting) -> None:
        """That job starts: its owner is charged, and virtual time goes on to the tag it started at."""
        share = self.shares.get(job.owner, Share())
        self.virtual = max(self.virtual, share.tag)
        self.shares[job.owner] = share.charged(job.seconds)

    def settle(self, job: Waiting, measured: float) -> None:
        """That job has ended after `measured` seconds."""
        self.shares[job.owner] = self.shares[job.owner].settled(job.seconds, measured)


def first_of_each(waiting: Sequence[Waiting], depth: int) -> list[Waiting]:
    """The first `depth` jobs of each owner in order of place: all that a turn looks at."""
    seen: dict[str, int] = {}
    chosen = []
    for job in sorted(waiting, key=lambda job: (job.place, job.number)):
        seen[job.owner] = seen.get(job.owner, 0) + 1
        if seen[job.owner] <= depth:
            chosen.append(job)
    return chosen
