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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "bob", "--password-stdin"), "no admin"),
        (("add", "ada", "--role", "admin", "--password-stdin", "--tier", "gold"), "no tier 'gold'"),
        (("remove", "nobody"), "no user 'nobody'"),
        (("grant", "nobody", "5"), "no user 'nobody'"),
        (("token", "nobody"), "no user 'nobody'"),
    ],
)
def test_what_cannot_be_is_one_sentence(users, words, says):
    code, said = users(*words, typed="correct horse")
    assert code == 1
    assert says in said
    assert said.count("\n") == 1
