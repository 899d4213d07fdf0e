"""What a request has to pass before the queue takes it: it can be drawn here, and there is room for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modules.call_queue.listing import Listing
from modules.contracts.errors import NotReady
from modules.contracts.request import GenerationRequest

DEPTH = 10_000
"""Waiting jobs above which no more are taken."""


def _anything(request: GenerationRequest) -> None:
    """Of a queue that leaves it to the engine to say what it cannot draw."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """The rules by which requests are taken. They hold for every new job, repetitions included."""

    examine: Callable[[GenerationRequest], None] = _anything
    """Raises a `StudioError` for what no lane would draw; decodes nothing and is quick."""

    def check(self, request: GenerationRequest, jobs: Listing) -> None:
        """Raise what `examine` raises, and `NotReady` where too many jobs wait."""
        self.examine(request)
        waiting = jobs.pending()
        if waiting >= DEPTH:
            raise NotReady(f"{waiting} jobs are waiting already; at most {DEPTH} are taken.")


OPEN = Entrance()
"""Takes what is in bounds."""
