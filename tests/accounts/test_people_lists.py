"""Lists of people, tokens, tiers and the account book come page by page, in the words of every other list."""

from __future__ import annotations

import pytest

from tests.accounts.fronts import PEOPLE

NAMES = sorted(name for name, _ in PEOPLE)


def turn(client, path, name, limit, **wanted):
    """Every row of a list that is asked for in pages, and what each page said was there in all."""
    rows, totals, after = [], [], 0
    while after is not None:
        answer = client.get(path, params={"limit": limit, "after": after, **wanted})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert set(page) == {name, "following", "total"}
        assert 0 < len(page[name]) <= limit
        rows += page[name]
        totals.append(page["total"])
        after = page["following"]
    return rows, totals


def test_accounts_come_in_pages_by_name(rig):
    (ada,) = rig.clients("ada")
    rows, totals = turn(ada, "/api/v1/users", "users", 3)
    assert [row["name"] for row in rows] == NAMES
    assert totals == [4, 4]
    whole = ada.get("/api/v1/users").json()
    assert (whole["users"], whole["following"], whole["total"]) == (rows, None, 4)


def test_tokens_come_in_pages_for_their_owner_and_for_an_admin(rig):
    ada, bob = rig.clients("ada", "bob")
    for number in range(4):
        rig.accounts.add_token("bob", f"key {number}")
    mine, totals = turn(bob, "/api/v1/me/tokens", "tokens", 2)
    assert [row["label"] for row in mine] == ["test", "key 0", "key 1", "key 2", "key 3"]
    assert totals == [5, 5, 5]
    assert {row["id"]: row["label"] for row in turn(ada, "/api/v1/users/bob/tokens", "tokens", 3)[0]} == {
        row["id"]: row["label"] for row in mine
    }


def test_tiers_come_in_pages(rig):
    (bob,) = rig.clients("bob")
    rows, totals = turn(bob, "/api/v1/tiers", "tiers", 1)
    assert [row["name"] for row in rows] == ["guest", "standard", "unlimited"]
    assert totals == [3, 3, 3]


def test_lines_that_come_while_somebody_turns_pages_shift_nothing(rig):
    ada, bob = rig.clients("ada", "bob")
    for number in range(5):
        rig.accounts.grant("bob", 1 + number, f"bob's {number}")
    rig.accounts.grant("ann", 9, "ann's")
    first = bob.get("/api/v1/me/ledger", params={"limit": 2}).json()
    rig.accounts.grant("bob", 99, "meanwhile")
    second = bob.get("/api/v1/me/ledger", params={"limit": 2, "after": first["following"]}).json()
    assert [line["note"] for line in (*first["lines"], *second["lines"])] == [
        "bob's 4",
        "bob's 3",
        "bob's 2",
        "bob's 1",
    ]
    assert second["total"] == first["total"] + 1
    assert turn(bob, "/api/v1/me/ledger", "lines", 1)[0][0]["note"] == "meanwhile"
    everybodys, totals = turn(ada, "/api/v1/ledger", "lines", 3)
    assert {line["owner"] for line in everybodys} >= {"ann", "bob"}
    assert totals[0] == len(everybodys)
    anns, _ = turn(ada, "/api/v1/ledger", "lines", 3, owner="ann")
    assert {line["owner"] for line in anns} == {"ann"}


@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/me/tokens", "/api/v1/tiers", "/api/v1/ledger"])
@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 1001}, {"after": -1}, {"after": 2**31}])
def test_pages_that_cannot_be_are_refused(rig, path, wrong):
    (ada,) = rig.clients("ada")
    assert ada.get(path, params=wrong).status_code == 422
