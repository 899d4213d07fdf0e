"""What the metered queue lets in when requests come twice, at once, after a restart, or while nobody counts."""

from __future__ import annotations

import dataclasses
import inspect
import threading

import pytest

from modules.accounts.counters.memory import MemoryCounters
from modules.accounts.counters.opening import open_counters
from modules.accounts.metering import MeteredQueue
from modules.accounts.relay import Relay
from modules.accounts.service import StoredAccounts
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.contracts.accounts import Tier
from modules.contracts.errors import InvalidRequest, NotReady, OverLimit
from modules.contracts.jobs import JobQueue, JobService, JobTerms
from modules.contracts.request import HiresParams
from modules.support.bus import EventBus
from tests.accounts.test_metering import Catalog, database, engine, wish
from tests.call_queue.fakes import MemoryPictures

__all__ = ["database", "engine"]


@pytest.fixture
def open_house(database, engine, clock):
    """A function that opens the studio anew over the same database, as after a restart; it closes the one before."""
    opened = []

    def open_(counters=None):
        while opened:
            opened.pop().stop(5)
        accounts = StoredAccounts(database, clock, counters or MemoryCounters(clock))
        bus = EventBus()
        inner = CallQueue(lambda: engine, JobStore(database), bus, MemoryPictures())
        queue = MeteredQueue(inner, accounts.gate, Catalog(), bus)
        opened.append(queue)
        queue.start()
        return accounts, queue

    yield open_
    engine.let_go()
    for queue in opened:
        queue.stop(5)


@pytest.fixture
def house(open_house):
    accounts, queue = open_house()
    accounts.add_user("ada", "correct horse", role="admin")
    accounts.add_user("bob", "correct horse")
    return accounts, queue


def small(accounts, **limits):
    accounts.set_tier(Tier("small", **limits))
    accounts.change_user("bob", tier="small")


def test_every_method_of_the_queue_is_handed_on():
    promised = {name for protocol in (JobQueue, JobService) for name in vars(protocol) if not name.startswith("_")}
    assert len(promised) > 20
    for name in promised:
        promise, kept = inspect.getattr_static(JobService, name), inspect.getattr_static(Relay, name)
        assert isinstance(kept, property) == isinstance(promise, property), name
        if not isinstance(kept, property):
            assert list(inspect.signature(kept).parameters) == list(inspect.signature(promise).parameters), name


def test_what_was_let_in_once_is_let_in_again_under_its_key(house):
    accounts, queue = house
    small(accounts, credits_per_day=10, pictures_per_minute=1)
    terms = JobTerms(idempotency_key="order 1")
    first = queue.submit(wish(), "bob", terms=terms)
    first.wait(10)
    assert accounts.allowance("bob").left_today == 0
    assert queue.submit(wish(), "bob", terms=terms).id == first.id
    assert len(accounts.ledger("bob")) == 2  # one charge and one settlement
    with pytest.raises(InvalidRequest, match="another request"):
        queue.submit(wish(steps=3), "bob", terms=terms)
    with pytest.raises(OverLimit):
        queue.submit(wish(), "bob")


def test_a_repetition_beyond_the_limit_is_never_stored(house, engine):
    accounts, queue = house
    small(accounts, credits_per_day=15)
    first = queue.submit(wish(), "bob")
    first.wait(10)
    with pytest.raises(OverLimit):
        queue.requeue(first.id)
    assert [record.id for record in queue.list()] == [first.id]
    assert len(engine.seen) == 1
    accounts.set_tier(Tier("small", credits_per_day=20))
    again = queue.requeue(first.id)
    again.wait(10)
    assert queue.get(again.id).details.origin == first.id
    assert accounts.allowance("bob").left_today == 0


def test_requests_at_the_same_moment_do_not_slip_past_the_depth(house, engine):
    accounts, queue = house
    small(accounts, queue_depth=3)
    engine.hold()
    outcomes = []

    def ask():
        try:
            queue.submit(wish(), "bob")
            outcomes.append("in")
        except OverLimit:
            outcomes.append("out")

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["in"] * 3 + ["out"] * 9
    assert queue.pending("bob") == 3


def test_the_second_pass_has_no_other_models_than_the_tier_allows(house):
    accounts, queue = house
    small(accounts, models=("pocket",))
    second = HiresParams(enabled=True, checkpoint="people/photo")
    with pytest.raises(InvalidRequest, match="people/photo"):
        queue.submit(dataclasses.replace(wish(), hires=second), "bob")
    assert queue.list() == []


def weight_of(queue, owner):
    return next(share.weight for share in queue.shares() if share.owner == owner)


def test_a_weight_of_an_admin_goes_before_that_of_the_tier(house, open_house):
    accounts, queue = house
    small(accounts, weight=2.0)
    queue.submit(wish(), "bob").wait(10)
    assert weight_of(queue, "bob") == 2
    assert accounts.set_weight("bob", 7.0).weight == 7
    queue.set_weight("bob", 7.0)
    for _ in range(2):
        queue.submit(wish(), "bob").wait(10)
    assert weight_of(queue, "bob") == 7
    accounts, queue = open_house()
    small(accounts, weight=3.0)
    queue.submit(wish(), "bob").wait(10)
    assert weight_of(queue, "bob") == 7
    assert accounts.set_weight("bob", None).weight == 3
    queue.submit(wish(), "bob").wait(10)
    assert weight_of(queue, "bob") == 3
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidRequest, match="above 0"):
            accounts.set_weight("bob", wrong)


def test_a_weight_that_the_terminal_changed_while_the_studio_was_closed_counts(house, open_house):
    accounts, queue = house
    small(accounts, weight=4.0)
    queue.submit(wish(), "bob").wait(10)
    small(accounts, weight=1.0)
    accounts, queue = open_house()
    queue.submit(wish(), "bob").wait(10)
    assert weight_of(queue, "bob") == 1


def test_pictures_a_minute_are_counted_across_processes_and_restarts(house, open_house, redis_server):
    accounts, _ = house
    small(accounts, pictures_per_minute=2)
    for _ in range(2):
        accounts, queue = open_house(open_counters(redis_server.address))
        assert accounts.left_this_minute("bob") > 0
        queue.submit(wish(), "bob").wait(10)
    accounts, queue = open_house(open_counters(redis_server.address))
    assert (accounts.left_this_minute("bob"), accounts.left_this_minute("ada")) == (0, None)
    with pytest.raises(OverLimit, match="2 pictures in the last minute") as refusal:
        queue.submit(wish(), "bob")
    assert 30 < refusal.value.retry_after <= 60


def test_what_was_refused_for_its_credits_does_not_use_up_the_minute(house):
    accounts, queue = house
    small(accounts, credits_per_day=15, pictures_per_minute=2)
    queue.submit(wish(), "bob").wait(10)
    with pytest.raises(OverLimit, match=r"5\.0 are left today"):
        queue.submit(wish(), "bob")
    assert accounts.left_this_minute("bob") == 1


def test_a_clock_that_is_put_back_shuts_nobody_out(house, clock):
    """Lines that a wrong clock wrote into the future count on their own day, and the minute has a clock of its own."""
    accounts, queue = house
    small(accounts, credits_per_day=10, credits_per_month=100)
    now = clock.now
    clock.now = now + 3 * 365 * 86400
    queue.submit(wish(), "bob").wait(10)
    clock.now = now
    assert accounts.allowance("bob").left_today == 10
    queue.submit(wish(), "bob").wait(10)
    assert (accounts.allowance("bob").left_today, accounts.allowance("bob").left_this_month) == (0, 90)
    clock.now = now + 3 * 365 * 86400
    assert accounts.allowance("bob").left_today == 0


def test_while_nobody_counts_nothing_is_lost_and_who_has_no_rate_goes_on(house, open_house, redis_server, engine):
    accounts, _ = house
    small(accounts, pictures_per_minute=5, credits_per_day=100)
    accounts, queue = open_house(open_counters(redis_server.address))
    engine.hold()
    under_way = queue.submit(wish(), "bob")
    redis_server.stop()
    with pytest.raises(NotReady, match="does not answer"):
        queue.submit(wish(), "bob", job_id="refused")
    with pytest.raises(NotReady):
        accounts.left_this_minute("bob")
    engine.let_go()
    assert len(under_way.wait(10).pictures) == 1
    queue.submit(wish(), "ada").wait(10)
    assert queue.get("refused") is None
    assert accounts.allowance("bob").used_today == pytest.approx(10)
    assert accounts.gate.open_charges() == []
