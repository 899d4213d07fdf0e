"""What happens when memory runs out."""

from __future__ import annotations

import gc
import weakref

import pytest

from modules.contracts.errors import OutOfMemory
from modules.contracts.plan import MemoryPlan
from modules.memory.guard import attempt, recover
from tests.memory.devices import RecordingHandler

PLAN = MemoryPlan((), 3 << 20, 4)


class Work:
    """Fails with these errors, one a call, then succeeds."""

    def __init__(self, *errors):
        self.errors, self.plans = list(errors), []

    def __call__(self, plan):
        self.plans.append(plan)
        if self.errors:
            raise self.errors.pop(0)
        return "picture"


def test_work_that_fits_is_done_once():
    work = Work()
    assert attempt(PLAN, work, RecordingHandler()) == "picture"
    assert work.plans == [PLAN]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("fake out of memory"), OutOfMemory("too large")])
def test_out_of_memory_takes_the_next_cheaper_plan_once_and_says_so(error):
    notes, handler, work = [], RecordingHandler(), Work(error)
    assert attempt(PLAN, work, handler, notes.append) == "picture"
    assert work.plans == [PLAN, MemoryPlan(("vae_slicing",), None, 2)]
    assert handler.emptied == 1
    assert notes == ["Memory ran out; tried again with vae_slicing."]


def test_a_second_failure_is_reported_with_advice_and_the_figures():
    handler, work = RecordingHandler(), Work(MemoryError(), MemoryError(), MemoryError())
    with pytest.raises(OutOfMemory, match="smaller") as caught:
        attempt(PLAN, work, handler)
    assert len(work.plans) == 2
    assert caught.value.free == handler.memory().free
    assert caught.value.status == 507


def test_the_cheaper_plan_is_looked_for_from_the_one_that_was_really_taken():
    taken = MemoryPlan(("model_offload", "vae_slicing", "vae_tiling"), 1 << 30, 8)
    work = Work(MemoryError())
    attempt(PLAN, work, RecordingHandler(), used=lambda: taken)
    assert work.plans[1].measures == ("model_offload", "attention_slicing", "vae_slicing", "vae_tiling")
    assert work.plans[1].max_batch == 4


def test_with_nothing_left_to_save_the_first_failure_is_final():
    last = MemoryPlan(("sequential_offload", "attention_slicing", "vae_slicing", "vae_tiling"), 5 << 20, 1)
    work = Work(MemoryError())
    with pytest.raises(OutOfMemory, match="5 MiB were needed") as caught:
        attempt(last, work, RecordingHandler())
    assert work.plans == [last]
    assert "--lowvram" not in caught.value.message


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), ValueError("no"), KeyError("x")])
def test_other_errors_pass_through(error):
    with pytest.raises(type(error)):
        attempt(PLAN, Work(error), RecordingHandler())


def test_recovery_lets_go_of_what_the_failed_call_held():
    class Big:
        pass

    seen = []

    def fail():
        big = Big()
        seen.append(weakref.ref(big))
        raise RuntimeError("fake out of memory")

    def wrap():
        try:
            fail()
        except RuntimeError as error:
            raise MemoryError("translated") from error

    handler = RecordingHandler()
    try:
        wrap()
    except MemoryError as error:
        kept = error
        gc.collect()
        assert seen[0]() is not None
        recover(handler, kept)
    assert seen[0]() is None
    assert handler.emptied == 1
