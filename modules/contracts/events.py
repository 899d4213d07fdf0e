"""Facts about jobs as they happen. Frozen, in order, published on one bus (`modules.support.bus`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modules.contracts.result import Picture


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to the job of that id."""

    job_id: str


@dataclass(frozen=True, slots=True)
class JobQueued(Event):
    """The job is stored; `position` 0 is next."""

    position: int = 0


@dataclass(frozen=True, slots=True)
class JobStarted(Event):
    """A lane took the job. `attempt` counts from 1 over restarts."""

    lane: int = 0
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    """`load`, `encode`, `denoise`, `hires`, `decode`, `save` or `enlarge` began for a batch."""

    stage: str = ""
    batch: int = 0
    batches: int = 1


@dataclass(frozen=True, slots=True)
class StepDone(Event):
    """A denoiser step ended. `progress` is the share of the whole job, 0 to 1."""

    step: int = 0
    """Steps done within this batch, hires pass included."""
    steps: int = 1
    """Steps of one batch."""
    batch: int = 0
    batches: int = 1
    progress: float = 0.0
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Preview(Event):
    """A cheap look at the unfinished batch."""

    step: int = 0
    data: bytes = field(default=b"", repr=False)
    """An encoded picture (JPEG or PNG, see `media_type`)."""
    media_type: str = "image/jpeg"


@dataclass(frozen=True, slots=True)
class ImageReady(Event):
    """A picture is finished (and saved, when saving was asked for)."""

    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class JobPaused(Event):
    """Somebody holds the job back. If it ran, it has stopped and begins anew when it is resumed."""


@dataclass(frozen=True, slots=True)
class JobResumed(Event):
    """The job waits for its turn again."""


@dataclass(frozen=True, slots=True)
class JobFailed(Event):
    """The job ended with an error of `modules.contracts.errors`."""

    kind: str = "studio_error"
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobCancelled(Event):
    """The job ended because somebody asked for it."""


@dataclass(frozen=True, slots=True)
class JobDone(Event):
    """The job ended with its pictures."""

    seconds: float = 0.0


TERMINAL = (JobFailed, JobCancelled, JobDone)
"""Exactly one of these ends every job."""
