"""How much somebody may use: tiers, credits, rates, and a book that balances whatever happens."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from modules.accounts.service import StoredAccounts
from modules.contracts.accounts import Tier, Wish
from modules.contracts.errors import InvalidRequest, OverLimit

DAY = 86400.0
both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def wish(credits=5.0, pictures=1, pixels=512 * 512, steps=20, model="pocket"):
    return Wish(credits, pictures, pixels, steps, (model,))


@pytest.fixture
def gate(accounts):
    accounts.set_tier(
        Tier(
            "small",
            credits_per_day=20,
            credits_per_month=50,
            pictures_per_minute=3,
            max_pixels=512 * 512,
            max_steps=30,
            queue_depth=2,
            models=("pocket*",),
        )
    )
    accounts.add_user("ada", "correct horse", role="admin", tier="small")
    accounts.add_user("bob", "correct horse", tier="small")
    return accounts.gate


@both
def test_credits_of_a_day_run_out_and_come_back(gate, accounts, clock):
    for number in range(4):
        gate.admit("bob", wish(), f"job{number}", 0)
        clock.now += 61
    with pytest.raises(OverLimit, match=r"5\.0 credits, and 0\.0 are left today") as refusal:
        gate.admit("bob", wish(), "job4", 0)
    assert refusal.value.retry_after == pytest.approx(DAY / 2 - 4 * 61)
    assert accounts.allowance("bob").left_today == 0
    clock.now += DAY / 2
    gate.admit("bob", wish(), "job5", 0)
    assert accounts.allowance("bob").left_today == 15
    assert accounts.allowance("bob").used_this_month == 25


def test_the_month_ends_too(gate, accounts, clock):
    for number in range(10):
        gate.admit("bob", wish(), f"job{number}", 0)
        clock.now += DAY / 2
    with pytest.raises(OverLimit, match="this month") as refusal:
        gate.admit("bob", wish(), "more", 0)
    clock.now += refusal.value.retry_after + 1
    gate.admit("bob", wish(), "more", 0)
    assert accounts.allowance("bob").used_this_month == 5


@both
def test_what_was_not_made_is_given_back_once(gate, accounts):
    gate.admit("bob", wish(8.0, pictures=2), "half", 0)
    gate.settle("half", 1)
    gate.settle("half", 0)
    assert accounts.allowance("bob").used_today == 4
    assert [(line.kind, line.credits) for line in accounts.ledger("bob")] == [("refund", 4.0), ("charge", -8.0)]
    gate.settle("never heard of", 0)
    assert len(accounts.ledger()) == 2


@both
def test_asking_twice_for_one_job_charges_once(gate, accounts):
    gate.admit("bob", wish(), "job", 0)
    gate.admit("bob", wish(), "job", 1)
    assert accounts.allowance("bob").used_today == 5


@pytest.mark.parametrize(
    ("asked", "pending", "error", "says"),
    [
        (wish(pixels=512 * 520), 0, InvalidRequest, "262144"),
        (wish(steps=31), 0, InvalidRequest, "allows 30"),
        (wish(model="flux"), 0, InvalidRequest, r"pocket\*"),
        (wish(pictures=4), 0, InvalidRequest, "3 a minute"),
        (wish(credits=21.0), 0, InvalidRequest, "has 20 in all"),
        (wish(), 2, OverLimit, "allows 2"),
    ],
)
def test_what_the_tier_does_not_allow_costs_nothing(gate, accounts, asked, pending, error, says):
    with pytest.raises(error, match=says):
        gate.admit("bob", asked, "job", pending)
    assert accounts.allowance("bob").used_today == 0
    gate.admit("bob", wish(), "job", 0)


@both
def test_pictures_a_minute(gate, clock):
    gate.admit("bob", wish(1.0, pictures=2), "a", 0)
    clock.now += 20
    gate.admit("bob", wish(1.0), "b", 0)
    with pytest.raises(OverLimit, match="in the last minute") as refusal:
        gate.admit("bob", wish(1.0), "c", 0)
    assert refusal.value.retry_after == pytest.approx(40)
    clock.now += 41
    gate.admit("bob", wish(1.0, pictures=2), "c", 0)


def test_admins_and_owners_without_account_are_free(gate, accounts):
    for owner in ("ada", "local"):
        gate.admit(owner, wish(credits=1e6, pictures=99, pixels=10**8, steps=999, model="any"), f"of {owner}", 99)
        assert accounts.allowance(owner).left_today is None
        assert accounts.allowance(owner).used_today == 1e6


def test_a_grant_adds_to_the_day_and_the_month(gate, accounts, clock):
    accounts.grant("bob", 7, "sorry for the outage")
    assert (accounts.allowance("bob").left_today, accounts.allowance("bob").left_this_month) == (27, 57)
    clock.now += DAY
    assert (accounts.allowance("bob").left_today, accounts.allowance("bob").left_this_month) == (20, 57)
    with pytest.raises(InvalidRequest, match="nan"):
        accounts.grant("bob", float("nan"), "")


@both
def test_two_requests_cannot_use_the_same_credits(gate, accounts, clock):
    accounts.set_tier(Tier("small", credits_per_day=20))
    outcomes = []

    def ask(number):
        try:
            gate.admit("bob", wish(), f"job{number}", 0)
            outcomes.append("in")
        except OverLimit:
            outcomes.append("out")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["in"] * 4 + ["out"] * 8
    assert accounts.allowance("bob").left_today == 0


@both
def test_what_nobody_settled_is_known(gate):
    for name in ("done", "waiting"):
        gate.admit("bob", wish(1.0), name, 0)
    gate.settle("done", 1)
    assert gate.open_charges() == ["waiting"]
    gate.settle("waiting", 0)
    assert gate.open_charges() == []


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["admit", "settle", "crash"]), st.integers(0, 5), st.integers(0, 3)), max_size=25
    )
)
def test_the_book_balances(steps):
    """Used is always the sum of charges less refunds, never below 0, and nothing is refunded beyond its charge."""
    accounts = StoredAccounts(create_engine("sqlite://"), lambda: 1_773_144_000.0)
    for action, number, made in steps:
        if action == "admit":
            accounts.gate.admit("bob", wish(10.0, pictures=2), f"job{number}", 0)
        elif action == "settle":
            accounts.gate.settle(f"job{number}", made)
        else:
            [accounts.gate.settle(job, 0) for job in accounts.gate.open_charges() if job > "job1"]
    lines = accounts.ledger("bob", limit=1000)
    for job in {line.job_id for line in lines}:
        own = [line.credits for line in lines if line.job_id == job]
        assert len(own) <= 2
        assert -10.0 <= sum(own) <= 1e-9
    assert accounts.allowance("bob").used_today == pytest.approx(-sum(line.credits for line in lines))


def test_tiers_say_what_they_cannot_be(accounts):
    for bad in (Tier("", 1), Tier("x", credits_per_day=-1), Tier("x", weight=0), Tier("x", max_pixels=-1)):
        with pytest.raises(InvalidRequest):
            accounts.set_tier(bad)
    accounts.set_tier(Tier("x", models=("a*",), weight=2.0))
    assert next(tier for tier in accounts.tiers() if tier.name == "x") == Tier("x", models=("a*",), weight=2.0)


def test_a_script_that_decides_how_much_it_draws_is_for_tiers_without_limits(gate, accounts):
    open_ended = Wish(1.0, 1, 64, 1, ("pocket",), "Loopback")
    for ask in (lambda: gate.admit("bob", open_ended, "job", 0), lambda: gate.check("bob", open_ended, 0)):
        with pytest.raises(InvalidRequest, match="'Loopback' decides by itself.*tier small"):
            ask()
    assert accounts.allowance("bob").used_today == 0
    gate.admit("ada", open_ended, "hers", 0)  # an admin
    accounts.set_tier(Tier("roomy", queue_depth=5, weight=2.0))
    accounts.add_user("cleo", "correct horse", tier="roomy")
    gate.admit("cleo", open_ended, "free", 0)
