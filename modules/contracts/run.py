"""What the engine is, seen from above, and what a running job can say and hear."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from modules.contracts.errors import JobCancelled
from modules.contracts.events import Event
from modules.contracts.plan import GenerationPlan
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult, Picture
from modules.contracts.scripts import JobHooks


def _ignore(event: Event) -> None:
    """The listener of a run that nobody watches."""


def _keep(picture: Picture) -> None:
    """The sink of a run whose pictures are only returned."""


def _always() -> bool:
    """Of a run whose previews are wanted whoever looks."""
    return True


@dataclass(slots=True)
class RunContext:
    """The line between one running job and the rest of the house. Safe to use from several threads."""

    job_id: str
    emit: Callable[[Event], None] = _ignore
    """Publish an event; never blocks for long and never raises."""
    finished: Callable[[Picture], None] = _keep
    """Called by the engine for each finished picture, in order, before `ImageReady` is emitted; may write it down."""
    previews: bool = True
    """False makes none at all."""
    watched: Callable[[], bool] = _always
    """Asked before each preview is made: whether anybody would look at it now."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    skipped: threading.Event = field(default_factory=threading.Event)
    """Set to leave the current batch and go on with the next; the engine clears it."""
    hooks: JobHooks | None = None
    """The scripts that take part; None asks nobody."""

    def check(self) -> None:
        """Raise `JobCancelled` once cancellation was asked for. Called at least once per denoiser step."""
        if self.cancelled.is_set():
            raise JobCancelled(f"Job {self.job_id} was cancelled.")


class Engine(Protocol):
    """Draws. `generate` is called from several lane threads at once."""

    def resolve(self, request: GenerationRequest) -> GenerationPlan:
        """The plan of a request that draws; nothing is drawn. Raises `StudioError` for anything that cannot be done."""

    def generate(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Draw all pictures of the request, or make those larger that it brings.

        A cancelled run returns what was finished, with `interrupted` set. Raises `StudioError` only.
        """

    def close(self) -> None:
        """Release models, threads and device memory."""
