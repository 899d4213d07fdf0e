"""Events as JSON: a name and plain fields, without pictures."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from modules.contracts import events
from modules.contracts.events import Event, ImageReady

NAMES: dict[type[Event], str] = {
    events.JobQueued: "queued",
    events.JobStarted: "started",
    events.StageStarted: "stage",
    events.StepDone: "step",
    events.Preview: "preview",
    events.ImageReady: "picture",
    events.JobPaused: "paused",
    events.JobResumed: "resumed",
    events.JobFailed: "failed",
    events.JobCancelled: "cancelled",
    events.JobDone: "done",
}
"""What clients know the events by."""
HEAVY = ("job_id", "data", "picture")


def fields_of(event: Event) -> dict[str, Any]:
    """What there is to say of an event besides its name and job; of pictures what they are, not what they show."""
    told = {item.name: getattr(event, item.name) for item in fields(event) if item.name not in HEAVY}
    if isinstance(event, ImageReady) and event.picture is not None:
        picture = event.picture
        width, height = picture.image.size
        told |= {"index": picture.index, "seed": picture.seed, "width": width, "height": height}
    return told
