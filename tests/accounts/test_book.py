"""The ledger is only added to, and the database itself sees to that; everything that the house does goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import IntegrityError

from modules.accounts import ledger
from modules.accounts.tables import LEDGER
from modules.call_queue.pruning import Retention, prune
from modules.call_queue.store import JobStore
from modules.contracts.accounts import Tier, Wish
from modules.contracts.request import GenerationRequest
from tests.accounts.sums import assert_sums

both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
PASSWORD = "correct horse"
REFUSED = "the ledger is only added to"


@pytest.fixture
def booked(accounts):
    """Two people; bob was granted, charged, and given back a half."""
    accounts.add_user("ada", PASSWORD, role="admin")
    accounts.add_user("bob", PASSWORD)
    accounts.grant("bob", 7, "for the workshop")
    accounts.gate.admit("bob", Wish(4.0, 2, 64, 1, ("pocket",)), "job", 0)
    accounts.gate.settle("job", 1)
    return accounts


def kinds(accounts):
    return [(line.kind, line.credits) for line in accounts.ledger("bob")]


BOOK = [("refund", 2.0), ("charge", -4.0), ("grant", 7.0)]


@both
@pytest.mark.parametrize(
    "change",
    [
        update(LEDGER).values(credits=0),
        update(LEDGER).where(LEDGER.c.kind == "charge").values(owner="ada"),
        delete(LEDGER),
        delete(LEDGER).where(LEDGER.c.kind == "charge"),
    ],
    ids=["update", "update one", "delete", "delete one"],
)
def test_a_line_is_neither_changed_nor_taken_away(booked, database, change):
    with pytest.raises(IntegrityError, match=REFUSED), database.begin() as connection:
        connection.execute(change)
    assert kinds(booked) == BOOK


def test_no_line_is_replaced_on_sqlite(booked, database):
    columns = "(number, owner, moment, kind, credits, job_id, pictures, note)"
    for row in ("(1, 'bob', 0, 'grant', 900, NULL, 0, '')", "(NULL, 'bob', 0, 'charge', 0, 'job', 2, '')"):
        with pytest.raises(IntegrityError, match=REFUSED), database.begin() as connection:
            connection.execute(text(f"INSERT OR REPLACE INTO ledger {columns} VALUES {row}"))
    assert kinds(booked) == BOOK


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_book_is_not_emptied_on_postgresql(booked, database):
    with pytest.raises(IntegrityError, match=REFUSED), database.begin() as connection:
        connection.execute(text("TRUNCATE ledger"))
    assert kinds(booked) == BOOK


@both
def test_lines_are_added_once_a_job_and_kind_as_before(booked, database):
    line = ledger.Line("bob", "charge", -1.0, "job", 1)
    with database.begin() as connection:
        assert not ledger.write(connection, line, 0.0)
        assert ledger.write(connection, ledger.Line("bob", "charge", -1.0, "other", 1), 0.0)
        connection.execute(insert(LEDGER).values(owner="x", moment=0, kind="grant", credits=1, pictures=0, note=""))
    booked.gate.settle("job", 0)  # a second time gives nothing back
    assert kinds(booked) == [("charge", -1.0), *BOOK]


@both
def test_people_and_ended_jobs_go_and_the_book_stays(booked, database, clock):
    store = JobStore(database, clock=clock)
    store.add("job", "bob", GenerationRequest())
    assert store.finish("job", "done", expected="queued")
    assert booked.remove_user("bob")
    assert prune(database, Retention(days=1), clock() + 7 * 86400) == 1
    assert (store.get("job"), booked.user("bob")) == (None, None)
    assert kinds(booked) == BOOK
    assert booked.add_user("bob", PASSWORD, inherit=True).name == "bob"
    assert booked.allowance("bob").used_today == 2


@both
def test_sums_follow_every_line_and_count_a_refund_where_its_charge_does(booked, database, clock):
    booked.gate.admit("bob", Wish(3.0, 3, 64, 1, ("pocket",)), "late", 0)
    clock.now += 40 * 86400  # another day of another month
    booked.gate.settle("late", 1)
    booked.gate.settle("unknown", 1)
    booked.grant("bob", -2, "taken back")
    for left in (booked.allowance("bob"), booked.allowance("ada")):
        assert (left.used_today, left.used_this_month) == (0, 0)
    assert_sums(database)
    clock.now -= 40 * 86400
    assert booked.allowance("bob").used_today == pytest.approx(2 + 1)
    with pytest.raises(RuntimeError), database.begin() as connection:
        ledger.write(connection, ledger.Line("bob", "charge", -1.0, "undone", 1), clock())
        raise RuntimeError
    assert booked.allowance("bob").used_today == pytest.approx(2 + 1)
    assert_sums(database)


@both
def test_sums_hold_when_many_charge_and_settle_at_once(accounts, database):
    accounts.set_tier(Tier("free", credits_per_day=1e6))
    accounts.add_user("ada", PASSWORD, role="admin")
    accounts.add_user("bob", PASSWORD)

    def person(number):
        for turn in range(6):
            job = f"{number}-{turn}"
            accounts.gate.admit(("ada", "bob")[number % 2], Wish(1.5, 3, 64, 1, ("pocket",)), job, 0)
            if turn % 2:
                accounts.gate.settle(job, turn % 3)

    with ThreadPoolExecutor(6) as crowd:
        list(crowd.map(person, range(6)))
    assert len(accounts.ledger(limit=1000)) == 6 * (6 + 3)
    assert_sums(database)
