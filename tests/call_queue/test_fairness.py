"""Whose turn it is, simulated: lanes that work through mixed loads without a clock, a database or a thread."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.call_queue.fairness import Ledger, Policy, Share, Waiting, first_of_each, take_turn


@dataclass
class Done:
    """One job as it went."""

    job: Waiting
    came: float
    began: float
    ended: float
    lane: int


class House:
    """Lanes, a ledger and a policy. Events happen in order of time, then of job."""

    def __init__(self, lanes=1, policy=None, switch=0.0):
        self.policy = policy or Policy()
        self.ledger = Ledger()
        self.waiting = []
        self.coming = []
        self.busy = []
        self.lanes = lanes
        self.free = list(range(lanes))
        self.loaded = {}
        self.done = []
        self.switch = switch
        self.switches = 0
        self.count = 0

    def submit(self, at, owner, seconds, *, real=None, model="", priority=0, weight=None):
        """A job that comes at that time, is predicted to take `seconds` and takes `real`."""
        self.count += 1
        place = at - priority * self.policy.priority_seconds
        job = Waiting(self.count, owner, seconds, model, None, place)
        heapq.heappush(self.coming, (at, self.count, job, seconds if real is None else real))
        if weight is not None:
            self.ledger.shares[owner] = Share(weight=weight)
        return self.count

    def run(self, until=float("inf")):
        """Play on until nothing is left, or until that time."""
        while self.coming or self.busy:
            now = min([*(when for when, *_ in self.coming[:1]), *(when for when, *_ in self.busy[:1])])
            if now > until:
                break
            self._let_in(now)
            self._let_out(now)
            while self.free and self.waiting:
                self._start(now)
        return self.done

    def _let_in(self, now):
        while self.coming and self.coming[0][0] <= now:
            at, _, job, real = heapq.heappop(self.coming)
            if all(other.owner != job.owner for other, *_ in self.waiting):
                self.ledger.arrive(job.owner)
            self.waiting.append((job, at, real))

    def _let_out(self, now):
        while self.busy and self.busy[0][0] <= now:
            ended, _, job, came, began, lane = heapq.heappop(self.busy)
            self.ledger.settle(job, ended - began)
            self.free.append(lane)
            self.done.append(Done(job, came, began, ended, lane))

    def _start(self, now):
        heads = first_of_each([job for job, *_ in self.waiting], 16)
        resident = set(self.loaded.values()) or None
        turn = take_turn(self.policy, heads, self.ledger.shares, now, resident)
        chosen = turn.order[0]
        for index, (job, came, real) in enumerate(self.waiting):
            if turn.passed_over is not None and job.number == turn.passed_over.number and job.passed is None:
                self.waiting[index] = (replace(job, passed=now), came, real)
        at = next(index for index, (job, *_) in enumerate(self.waiting) if job.number == chosen.number)
        job, came, real = self.waiting.pop(at)
        self.ledger.start(job)
        lane = self.free.pop()
        if self.loaded.get(0) != job.model:
            self.switches += 1
            real += self.switch
            self.loaded[0] = job.model
        heapq.heappush(self.busy, (now + real, job.number, job, came, now, lane))


def time_by_owner(done, until):
    """Seconds of lanes that each owner had up to then."""
    used = defaultdict(float)
    for one in done:
        used[one.job.owner] += max(min(one.ended, until) - one.began, 0)
    return used


def test_equal_owners_get_equal_time_whatever_the_size_and_number_of_their_jobs():
    house = House(lanes=2)
    for number in range(400):
        house.submit(0, "small", 1.0)
        if number < 60:
            house.submit(0, "middle", 5.0)
        if number < 15:
            house.submit(0, "large", 20.0)
    used = time_by_owner(house.run(), 400)
    total = sum(used.values())
    assert total == pytest.approx(800)
    for owner in ("small", "middle", "large"):
        assert used[owner] / total == pytest.approx(1 / 3, abs=0.04)


def test_time_is_shared_by_weight():
    house = House()
    for owner, weight in (("one", 1), ("two", 2), ("five", 5)):
        for _ in range(300):
            house.submit(0, owner, 1.0, weight=weight)
    used = time_by_owner(house.run(), 240)
    assert [round(used[owner]) for owner in ("one", "two", "five")] == pytest.approx([30, 60, 150], abs=3)


@pytest.mark.parametrize("lanes", [1, 4])
def test_one_job_never_waits_behind_anothers_hundred(lanes):
    house = House(lanes=lanes)
    for _ in range(100):
        house.submit(0, "crowd", 10.0)
    single = house.submit(3.0, "single", 10.0)
    begun = next(one.began for one in house.run() if one.job.number == single)
    # Only what ran already is waited for: of one lane the rest of its job, of several the first that comes free.
    assert begun == 10.0


def test_who_comes_back_again_and_again_is_served_in_turn_with_a_crowd():
    house = House()
    for _ in range(100):
        house.submit(0, "crowd", 10.0)
    for number in range(10):
        house.submit(5.0 + 20.0 * number, "single", 10.0)
    waits = [one.began - one.came for one in house.run() if one.job.owner == "single"]
    assert len(waits) == 10
    assert max(waits) <= 20


def test_wrong_predictions_are_put_right_by_the_time_that_jobs_took():
    house = House()
    for _ in range(200):
        house.submit(0, "modest", 8.0, real=2.0)  # said to take four times what they take
        house.submit(0, "greedy", 2.0, real=8.0)
    used = time_by_owner(house.run(), 800)
    assert used["modest"] / used["greedy"] == pytest.approx(1, abs=0.05)


def test_having_been_away_earns_nothing_and_having_been_alone_costs_nothing():
    house = House()
    for _ in range(100):
        house.submit(0, "early", 1.0)
    for _ in range(60):
        house.submit(60, "late", 1.0)
    done = house.run()
    between = [one for one in done if 60 <= one.began < 100]
    counts = defaultdict(int)
    for one in between:
        counts[one.job.owner] += 1
    assert abs(counts["early"] - counts["late"]) <= 2


def test_priority_counts_within_an_owner_and_not_between_owners():
    house = House()
    for _ in range(4):
        house.submit(0, "ann", 1.0)
    urgent = house.submit(0.5, "ann", 1.0, priority=10)
    for _ in range(4):
        house.submit(0, "bob", 1.0)
    order = [(one.job.owner, one.job.number) for one in house.run()]
    anns = [number for owner, number in order if owner == "ann"]
    assert anns.index(urgent) == 1
    assert [owner for owner, _ in order[:8]].count("bob") == 4


def test_a_low_priority_waits_for_no_more_than_its_levels_are_worth():
    policy = Policy(priority_seconds=50)
    house = House(policy=policy)
    low = house.submit(0, "ann", 10.0, priority=-2)
    for second in range(0, 2000, 10):
        house.submit(second, "ann", 10.0)
    begun = next(one.began for one in house.run() if one.job.number == low)
    assert 50 <= begun <= 2 * 50 + 10 + 10


def mixed_models(policy):
    house = House(policy=policy, switch=20.0)
    for number in range(60):
        house.submit(0, "ann", 5.0, model="one")
        house.submit(0, "bob", 5.0, model="two")
        if number % 6 == 0:
            house.submit(number * 10.0, "cid", 5.0, model="three")
    return house


def test_a_model_stays_while_the_bound_allows():
    eager = mixed_models(Policy(lead=0, patience=0))
    eager.run()
    patient = mixed_models(Policy(lead=60, patience=30))
    patient.run()
    assert len(eager.done) == len(patient.done) == 130
    assert patient.switches < eager.switches / 3
    used = time_by_owner([one for one in patient.done if one.job.owner != "cid"], 500)
    assert used["ann"] / used["bob"] == pytest.approx(1, abs=0.35)


def test_nobody_is_passed_over_for_longer_than_the_patience():
    policy = Policy(lead=1e9, patience=30)
    house = House(policy=policy)
    for _ in range(100):
        house.submit(0, "crowd", 5.0, model="one")
    other = house.submit(2.0, "single", 5.0, model="two")
    begun = next(one.began for one in house.run() if one.job.number == other)
    assert 5 < begun <= 5 + 30 + 5


def test_affinity_does_not_turn_an_owners_own_priorities_round():
    first = Waiting(1, "ann", 1.0, "two", None, place=0.0)
    lower = Waiting(2, "ann", 1.0, "one", None, place=600.0)
    later = Waiting(3, "ann", 1.0, "one", None, place=10.0)
    assert take_turn(Policy(), [first, lower], {}, 0.0, {"one"}).order[0] is first
    turn = take_turn(Policy(), [first, lower, later], {}, 0.0, {"one"})
    assert (turn.order[0], turn.passed_over) == (later, first)


loads = st.lists(
    st.tuples(
        st.floats(0, 200), st.sampled_from(["ann", "bob", "cid", "dan"]), st.floats(0.1, 20), st.floats(0.1, 20),
        st.sampled_from(["one", "two"]), st.integers(-3, 3),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(loads, st.integers(1, 4))
def test_any_load_is_worked_off_once_the_same_way_every_time_and_no_lane_idles(load, lanes):
    def play():
        house = House(lanes=lanes)
        for at, owner, seconds, real, model, priority in load:
            house.submit(at, owner, seconds, real=real, model=model, priority=priority)
        return house.run()

    done = play()
    assert sorted(one.job.number for one in done) == list(range(1, len(load) + 1))
    assert [(one.job.number, one.began) for one in done] == [(one.job.number, one.began) for one in play()]
    for one in done:
        if one.began > one.came:  # it waited, so every lane was at work just before
            assert sum(other.began < one.began <= other.ended for other in done) >= lanes


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1, 10), min_size=8, max_size=30), st.lists(st.floats(1, 10), min_size=8, max_size=30))
def test_two_who_always_wait_never_differ_by_more_than_a_job_each(ann, bob):
    """The bound of start-time fair queueing: at any moment |used(a) - used(b)| <= largest(a) + largest(b)."""
    house = House()
    for owner, sizes in (("ann", ann), ("bob", bob)):
        for seconds in sizes:
            house.submit(0, owner, seconds)
    done = house.run()
    both_wait_until = min(max(one.began for one in done if one.job.owner == owner) for owner in ("ann", "bob"))
    used = {"ann": 0.0, "bob": 0.0}
    for one in done:
        if one.ended > both_wait_until:
            break
        used[one.job.owner] += one.ended - one.began
        assert abs(used["ann"] - used["bob"]) <= max(ann) + max(bob) + 1e-6
