"""Whoever comes in, by whatever means, and whoever does not."""

from __future__ import annotations

import base64

import pytest

from modules.accounts.counters.memory import MemoryCounters
from modules.accounts.counters.opening import open_counters
from modules.accounts.door import WRONG, Door
from modules.contracts.accounts import Proof
from modules.contracts.errors import NotReady, OverLimit

PASSWORD = "correct horse"


def basic(name, password):
    return Proof("Basic " + base64.b64encode(f"{name}:{password}".encode()).decode(), address="10.0.0.1")


@pytest.fixture
def staffed(accounts):
    accounts.add_user("ada", PASSWORD, role="admin", tier="unlimited")
    return accounts


def test_while_there_is_nobody_everybody_is_the_local_admin(accounts, clock):
    door = Door(accounts, clock=clock)
    assert door.open
    for proof in (Proof(), Proof("Basic x"), Proof("Bearer y", "z")):
        assert (door.identify(proof).name, door.identify(proof).is_admin) == ("local", True)


def test_the_first_account_shuts_the_door_at_once(accounts, clock):
    door = Door(accounts, clock=clock)
    accounts.add_user("ada", PASSWORD, role="admin", tier="unlimited")
    assert not door.open
    assert door.identify(Proof()) is None
    assert door.identify(basic("ada", PASSWORD)).name == "ada"


def test_pairs_and_accounts_come_in_side_by_side(staffed, clock):
    door = Door(staffed, [("root", "p:ss wörd")], clock)
    assert door.identify(basic("root", "p:ss wörd")).role == "admin"
    assert door.identify(basic("ada", PASSWORD)).name == "ada"
    assert door.identify(basic("root", PASSWORD)) is None
    _, token = staffed.add_token("ada", "script")
    assert door.identify(Proof(f"bearer {token}")).means == "token"
    assert door.identify(Proof(f"Basic {token}")) is None


def test_sessions_of_both_kinds_begin_and_end(staffed, clock):
    door = Door(staffed, [("root", PASSWORD)], clock)
    sessions = {name: door.sign_in(door.check(name, PASSWORD)) for name in ("root", "ada")}
    for name, text in sessions.items():
        assert door.identify(Proof(session=text)).name == name
        door.sign_out(text)
        assert door.identify(Proof(session=text)) is None
    lasting = door.sign_in(door.check("root", PASSWORD))
    clock.now += 31 * 86400
    assert door.identify(Proof(session=lasting)) is None


def test_guessing_is_slowed_down_for_the_guesser_alone(staffed, clock):
    door = Door(staffed, clock=clock, counters=MemoryCounters(clock))
    for number in range(WRONG.most):
        assert door.identify(basic("ada", f"guess {number}")) is None
    with pytest.raises(OverLimit, match="wrong passwords") as refusal:
        door.identify(basic("ada", PASSWORD))
    assert refusal.value.retry_after == WRONG.seconds
    assert door.check("ada", PASSWORD, "10.0.0.2").name == "ada"
    clock.now += WRONG.seconds
    assert door.identify(basic("ada", PASSWORD)).name == "ada"


def test_an_account_of_ones_own_does_not_buy_more_guesses(staffed, clock):
    door = Door(staffed, [("bob", PASSWORD)], clock, MemoryCounters(clock))
    for number in range(WRONG.most):
        assert door.identify(basic("ada", f"guess {number}")) is None
        if number < WRONG.most - 1:
            assert door.identify(basic("bob", PASSWORD)).name == "bob"
    with pytest.raises(OverLimit):
        door.identify(basic("ada", "one more"))


def test_a_network_of_addresses_is_one_guesser(staffed, clock):
    door = Door(staffed, clock=clock, counters=MemoryCounters(clock))
    for number in range(WRONG.most):
        assert door.check("ada", "wrong", f"2001:db8:1:2::{number:x}") is None
    with pytest.raises(OverLimit):
        door.check("ada", PASSWORD, "2001:db8:1:2:ffff::1")
    assert door.check("ada", PASSWORD, "2001:db8:1:3::1").name == "ada"
    for number in range(WRONG.most):
        assert door.check("ada", "wrong", f"::ffff:10.0.0.{number}") is None  # IPv4 written so: ten machines
    assert door.check("ada", PASSWORD, "::ffff:10.0.0.1").name == "ada"


def test_doors_of_several_processes_count_together(staffed, redis_server):
    doors = [Door(staffed, counters=open_counters(redis_server.address)) for _ in range(2)]
    for number in range(WRONG.most):
        assert doors[number % 2].identify(basic("ada", f"guess {number}")) is None
    for door in doors:
        with pytest.raises(OverLimit):
            door.identify(basic("ada", PASSWORD))
        door._counters.close()


def test_while_nobody_counts_passwords_rest_and_keys_work(staffed, redis_server):
    """A guard that lets everybody guess while it is broken would be none."""
    door = Door(staffed, counters=open_counters(redis_server.address))
    session, (_, token) = door.sign_in(door.check("ada", PASSWORD)), staffed.add_token("ada", "script")
    redis_server.stop()
    with pytest.raises(NotReady, match="try again"):
        door.identify(basic("ada", PASSWORD))
    assert door.identify(Proof(session=session)).name == "ada"
    assert door.identify(Proof(f"Bearer {token}")).name == "ada"
    door._counters.close()
