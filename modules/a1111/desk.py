"""What one extension has in one job: callbacks that it registers while the job is drawn, and its sampler.

A1111 draws one job at a time, so its extensions keep in their classes and modules what belongs to the job. Here several
jobs are drawn at once. So a job has script objects and callbacks of its own, and what an extension keeps elsewhere is
guarded by a gate: jobs that ask nothing special of a script go through it together, others alone.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modules.scripts.calling import current_call
from modules.scripts.context import JobContext

Callback = Callable[..., Any]
KEPT = "_a1111_callbacks"
KEY = "a1111_desk"
LOOK = 0.05
"""How often whoever waits at a gate looks whether the job was cancelled, seconds."""


def registered(package: str) -> dict[str, list[Callback]]:
    """The callbacks that an extension registered when it was imported, by kind. They go when its modules do."""
    found: dict[str, list[Callback]] = vars(sys.modules[package]).setdefault(KEPT, {})
    return found


@dataclass(eq=False)
class Desk:
    """One extension in one job."""

    package: str
    callbacks: dict[str, list[Callback]]
    """By kind: those of the import, and what the extension made of them in this job."""
    sampler: Any = None
    """What stands for A1111's sampler, an object of the extension's own class."""
    extras: dict[str, Any] = field(default_factory=dict)
    """What axes of a grid put into `p` beside its own fields."""
    lock: threading.Lock = field(default_factory=threading.Lock)


_DESKS: weakref.WeakValueDictionary[tuple[str, str], Desk] = weakref.WeakValueDictionary()
_LOCK = threading.Lock()


def desk_of(package: str, job: JobContext) -> Desk:
    """The desk that all scripts of an extension share in a job; it goes when they do."""
    with _LOCK:
        found = _DESKS.get((package, job.job_id))
        if found is None:
            there = registered(package) if package in sys.modules else {}
            found = _DESKS[package, job.job_id] = Desk(package, {kind: list(each) for kind, each in there.items()})
        job.state[KEY] = found
        return found


@dataclass(eq=False, slots=True)
class _Entry:
    """One that is inside of a gate or waits in front of it."""

    job_id: str
    special: bool
    inside: bool = False


class Gate:
    """Lets jobs in that want the usual together, and each that wants something else alone.

    Whoever comes waits for those before it that it cannot be together with, also for those that wait themselves: so
    nobody is overtaken for ever. A job that is inside comes in again at once.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: list[_Entry] = []

    def enter(self, job: JobContext, *, special: bool) -> None:
        """Wait to be let in, which is not the script's time. Raises `JobCancelled`."""
        call = current_call()
        if call is None:
            self._wait(job, special)
        else:
            with call.paused():
                self._wait(job, special)

    def _wait(self, job: JobContext, special: bool) -> None:
        mine = _Entry(job.job_id, special)
        with self._changed:
            self._line.append(mine)
            try:
                while not self._free(mine):
                    job.check()
                    self._changed.wait(LOOK)
                mine.inside = True
            finally:
                if not mine.inside:
                    self._line.remove(mine)
                    self._changed.notify_all()

    def _free(self, mine: _Entry) -> bool:
        if any(one.inside and one.job_id == mine.job_id for one in self._line):
            return True
        place = self._line.index(mine)
        there = [one for number, one in enumerate(self._line) if number < place or one.inside]
        return not any(mine.special or one.special for one in there)

    def leave(self, job: JobContext, *, special: bool) -> None:
        """After `enter`, once."""
        with self._changed:
            mine = (one for one in self._line if one.inside and (one.job_id, one.special) == (job.job_id, special))
            self._line.remove(next(mine))
            self._changed.notify_all()
