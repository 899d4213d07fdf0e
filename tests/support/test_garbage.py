"""What is set aside is left out of later passes, goes by its reference count, and is found by a look at everything."""

from __future__ import annotations

import gc
import weakref

import pytest

from modules.support.garbage import collect_all, set_aside, without_passes


class Thing:
    """Something that may refer to itself."""


@pytest.fixture(autouse=True)
def thawed():
    aside = gc.get_freeze_count() > 0
    gc.unfreeze()
    yield
    gc.unfreeze()
    if aside:
        set_aside()


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


@pytest.fixture
def passes():
    """What the collector says that it does, one word at its beginning and one at its end."""
    told = []

    def listen(phase, facts):
        told.append(phase)

    gc.callbacks.append(listen)
    yield told
    gc.callbacks.remove(listen)


def test_no_pass_goes_through_what_is_being_imported(passes):
    with pytest.raises(ImportError), without_passes():
        passes.clear()
        kept = [[place] for place in range(100_000)]
        assert passes == []
        raise ImportError
    more = [[place] for place in kept]
    assert len(more) == 100_000
    assert {"start", "stop"} == set(passes)


def test_whoever_did_without_passes_before_goes_on_without():
    gc.disable()
    try:
        with without_passes():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
