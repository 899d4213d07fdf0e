"""Progress and the time that is left."""

from __future__ import annotations

import pytest

from modules.call_queue.tracking import Tracker
from modules.contracts.events import JobStarted, Preview, StageStarted, StepDone


def test_time_left_follows_the_speed_since_the_first_step():
    now = [100.0]
    tracker = Tracker("a", clock=lambda: now[0])
    tracker.feed(JobStarted("a"))
    tracker.feed(StageStarted("a", "denoise"))
    tracker.feed(StepDone("a", 1, 5, progress=0.2))
    assert tracker.read().eta_seconds is None
    now[0] += 2
    tracker.feed(StepDone("a", 2, 5, progress=0.4))
    assert tracker.read().eta_seconds == pytest.approx(6)
    tracker.feed(StepDone("a", 3, 5, progress=0.6, eta_seconds=1.5))
    assert tracker.read().eta_seconds == 1.5
    tracker.end("done")
    assert tracker.read().eta_seconds is None


def test_the_latest_preview_is_kept_until_the_end():
    tracker = Tracker("a")
    tracker.feed(Preview("a", 1, b"one"))
    tracker.feed(Preview("a", 2, b"two"))
    assert tracker.read().preview == b"two"
    tracker.end("cancelled")
    assert tracker.read().preview is None


def test_whoever_asks_is_watching_for_a_while():
    now = [5.0]
    tracker = Tracker("a", clock=lambda: now[0])
    assert not tracker.was_read(10)
    tracker.read()
    now[0] += 9
    assert tracker.was_read(10)
    now[0] += 2
    assert not tracker.was_read(10)
