"""Readiness follows real attempts: one after the load, one after a failure, again until something is drawn."""

from __future__ import annotations

import threading

import pytest

from modules.contracts.errors import OutOfMemory, StudioError
from modules.contracts.events import JobDone, JobFailed
from modules.monitoring.prober import UNPROVEN, Prober
from modules.support.bus import EventBus
from modules.support.studio import Status


class Engine:
    """Counts attempts; `error` is what the next ones raise."""

    def __init__(self):
        self.error, self.tries, self.tried = None, 0, threading.Semaphore(0)

    def attempt(self, cancelled):
        self.tries += 1
        try:
            if self.error is not None:
                raise self.error
        finally:
            self.tried.release()


class Rig:
    def __init__(self, pause):
        self.status, self.bus, self.engine = Status(), EventBus(), Engine()
        self.prober = Prober(self.status, self.bus, self.engine.attempt, first_pause=pause, spacing=0.0)

    def tried(self):
        assert self.engine.tried.acquire(timeout=20)

    def settles(self, trouble):
        """Wait until the conclusion is drawn."""
        for _ in range(2000):
            if (self.status.trouble or "").find(trouble or "") >= 0 and (trouble is None) == (
                self.status.trouble is None
            ):
                return True
            threading.Event().wait(0.005)
        return False


@pytest.fixture
def make():
    made = []

    def build(pause=3600.0):
        made.append(Rig(pause))
        return made[-1]

    yield build
    for rig in made:
        rig.prober.stop(10)


def test_nothing_is_ready_before_a_picture_was_drawn(make):
    rig = make()
    assert rig.status.trouble == UNPROVEN
    rig.prober.start()
    assert rig.settles(None)
    assert rig.engine.tries == 1


def test_a_failure_of_the_engine_is_looked_into_and_told_until_a_picture_is_done(make):
    rig = make()
    rig.prober.start()
    rig.tried()
    assert rig.settles(None)
    rig.engine.error = StudioError("The device is lost.")
    rig.bus.publish(JobFailed("a", "studio_error", "Drawing failed."))
    rig.tried()
    assert rig.settles("The device is lost.")
    rig.engine.error = None
    rig.bus.publish(JobDone("b"))
    assert rig.status.trouble is None


def test_it_is_tried_again_by_itself(make):
    rig = make(pause=0.01)
    rig.engine.error = OutOfMemory("Too little memory.")
    rig.prober.start()
    for _ in range(3):
        rig.tried()
    assert rig.settles("Too little memory.")
    rig.engine.error = None
    assert rig.settles(None)
    tries = rig.engine.tries
    threading.Event().wait(0.1)
    assert rig.engine.tries == tries


@pytest.mark.parametrize("kind", ["invalid_request", "unknown_model", "timed_out", "over_limit", "broken_model"])
def test_a_request_that_was_wrong_is_no_reason(make, kind):
    rig = make()
    rig.prober.start()
    rig.tried()
    rig.bus.publish(JobFailed("a", kind, "No."))
    assert not rig.engine.tried.acquire(timeout=0.1)
    rig.bus.publish(JobFailed("a", "device_unavailable", "Gone."))
    rig.tried()


def test_what_nobody_foresaw_ends_no_watch(make, caplog):
    rig = make(pause=0.01)
    rig.engine.error = ZeroDivisionError("odd")
    rig.prober.start()
    assert rig.settles("ZeroDivisionError")
    rig.engine.error = None
    assert rig.settles(None)


def test_stopping_ends_a_picture_that_takes_long(make):
    status, begun = Status(), threading.Event()

    def attempt(cancelled):
        begun.set()
        assert cancelled.wait(20)

    prober = Prober(status, EventBus(), attempt)
    prober.start()
    assert begun.wait(20)
    prober.stop(20)
    assert not prober._thread.is_alive()
    assert status.trouble == UNPROVEN
