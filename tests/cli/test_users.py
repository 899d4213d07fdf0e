"""Accounts from the terminal: made, changed, and refused with a sentence."""

from __future__ import annotations

import io
import json

import pytest

from modules.cli.dispatch import main


@pytest.fixture
def users(tmp_path, capsys, monkeypatch):
    """Runs `users …` on a data folder of its own; returns exit code and answer, JSON where it is JSON."""

    def run(*words, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
        code = main(["users", "--data-dir", str(tmp_path), *words, *(["--json"] if words else [])])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else err

    return run


def test_a_first_admin_and_a_user_are_made_and_work(users, tmp_path):
    assert users("add", "ada", "--role", "admin", "--password-stdin", typed="correct horse")[0] == 0
    code, bob = users("add", "bob", "--password-stdin", typed="battery staple")
    assert (code, bob["role"], bob["tier"]) == (0, "user", "standard")
    _, rows = users("list")
    assert [(row["name"], row["tier"], row["left_today"]) for row in rows] == [
        ("ada", "unlimited", None),
        ("bob", "standard", 20_000),
    ]
    code, token = users("token", "bob", "--label", "script", "--days", "7")
    assert (code, token["text"][:4], token["label"]) == (0, "atl_", "script")
    assert "text" not in users("tokens", "bob")[1][0]


def test_changes_grants_and_tiers(users):
    users("add", "ada", "--role", "admin", "--password-stdin", typed="correct horse")
    users("add", "bob", "--password-stdin", typed="battery staple")
    assert users("tier", "tiny", "--credits-per-day", "10", "--models", "pocket*")[1]["models"] == ["pocket*"]
    assert users("change", "bob", "--tier", "tiny", "--disabled", "yes")[1]["disabled"] is True
    assert users("grant", "bob", "5", "--note", "sorry")[1]["credits"] == 5
    assert users("ledger", "--owner", "bob")[1][0]["note"] == "sorry"
    assert next(row for row in users("list")[1] if row["name"] == "bob")["left_today"] == 15
    assert users("remove", "bob")[0] == 0
    assert [row["name"] for row in users("list")[1]] == ["ada"]


@pytest.fixture
def staff(users):
    """`users`, with ada the admin and bob."""
    users("add", "ada", "--role", "admin", "--password-stdin", typed="correct horse")
    users("add", "bob", "--password-stdin", typed="battery staple")
    return users


def test_a_tier_keeps_what_is_not_given(staff):
    staff("tier", "small", "--credits-per-day", "10", "--max-steps", "30", "--models", "pocket*")
    tier = staff("tier", "small", "--max-steps", "none", "--queue-depth", "2")[1]
    assert (tier["credits_per_day"], tier["max_steps"], tier["queue_depth"], tier["models"]) == (
        10, None, 2, ["pocket*"],
    )  # fmt: skip
    assert staff("tier", "small", "--models")[1]["models"] == []
    assert staff("tier", "standard", "--weight", "2")[1]["credits_per_day"] == 20_000
    staff("change", "bob", "--tier", "small")
    assert "bob" in staff("drop-tier", "small")[1]
    staff("change", "bob", "--tier", "standard")
    assert staff("drop-tier", "small")[1] == {"removed": "small"}
    assert "small" not in [row["name"] for row in staff("tiers")[1]]


def test_a_new_account_has_the_tier_of_its_role(staff):
    staff("add", "guy", "--role", "guest", "--password-stdin", typed="correct horse")
    told = {row["name"]: row["tier"] for row in staff("list")[1]}
    assert told == {"ada": "unlimited", "bob": "standard", "guy": "guest"}


def test_tokens_are_taken_away_by_their_id(staff):
    token = staff("token", "bob", "--label", "script")[1]
    assert "of ada" in staff("drop-token", "ada", token["id"])[1]
    assert staff("drop-token", "bob", token["id"])[1] == {"removed": token["id"]}
    assert staff("tokens", "bob")[1] == []


def test_one_account_is_shown_whole(staff):
    staff("grant", "bob", "5")
    assert staff("weight", "bob", "3")[1] == {"name": "bob", "weight": 3}
    told = staff("show", "bob")[1]
    assert (told["role"], told["weight"], told["tokens"], told["left_today"]) == ("user", 3, 0, 20_005)
    assert "id" not in told
    assert staff("weight", "bob", "none")[1]["weight"] == 1
    assert staff("sign-out", "bob")[1] == {"name": "bob", "sessions_ended": 0}


def test_without_json_there_is_a_table(staff, capsys, tmp_path):
    assert main(["users", "--data-dir", str(tmp_path), "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["name", "role", "tier"]
    assert [row.split()[:3] for row in rows] == [["ada", "admin", "unlimited"], ["bob", "user", "standard"]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "bob", "--password-stdin"), "no admin"),
        (("add", "ada", "--role", "admin", "--password-stdin", "--tier", "gold"), "no tier 'gold'"),
        (("remove", "nobody"), "no user 'nobody'"),
        (("grant", "nobody", "5"), "no user 'nobody'"),
        (("token", "nobody"), "no user 'nobody'"),
        (("tokens", "nobody"), "no user 'nobody'"),
        (("drop-token", "nobody", "1"), "no user 'nobody'"),
        (("show", "nobody"), "no user 'nobody'"),
        (("sign-out", "nobody"), "no user 'nobody'"),
        (("weight", "nobody", "2"), "no user 'nobody'"),
        (("drop-tier", "nothing"), "no tier 'nothing'"),
        (("drop-tier", "guest"), "what new accounts of a role get"),
        (("tier", "x", "--max-steps", "-1"), "0 or more"),
    ],
)
def test_what_cannot_be_is_one_sentence(users, words, says):
    code, said = users(*words, typed="correct horse")
    assert code == 1
    assert says in said
    assert said.count("\n") == 1
