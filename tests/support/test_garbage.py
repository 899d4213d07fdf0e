"""What is set aside is left out of later passes, goes by its reference count, and is found by a look at everything."""

from __future__ import annotations

import gc
import weakref

import pytest

from modules.support.garbage import collect_all, set_aside


class Thing:
    """Something that may refer to itself."""


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_what_stands_is_left_out_of_later_passes():
    kept = [Thing() for _ in range(1000)]
    set_aside()
    assert gc.get_freeze_count() > 1000
    assert len(gc.get_objects()) < gc.get_freeze_count()
    assert all(thing not in gc.get_objects() for thing in kept[:3])


def test_what_was_set_aside_still_goes_when_nobody_holds_it():
    thing = Thing()
    gone = weakref.ref(thing)
    set_aside()
    del thing
    assert gone() is None


def test_a_ring_that_was_set_aside_is_found_among_everything_only():
    thing = Thing()
    thing.itself, gone = thing, weakref.ref(thing)
    set_aside()
    del thing
    gc.collect()
    assert gone() is not None
    collect_all()
    assert gone() is None
    assert gc.get_freeze_count() > 0


def test_nothing_is_set_aside_by_looking_among_everything():
    collect_all()
    assert gc.get_freeze_count() == 0
