"""Who somebody is: passwords, tokens, sessions, roles."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from modules.accounts.people import SESSION_SECONDS
from modules.accounts.service import StoredAccounts
from modules.contracts.errors import InvalidRequest
from tests.factories.passwords import REAL

PASSWORD = "correct horse"


@pytest.fixture
def staffed(accounts):
    accounts.add_user("Ada", PASSWORD, role="admin", tier="unlimited")
    accounts.add_user("bob", PASSWORD + "!")
    return accounts


def test_without_accounts_the_studio_is_open(accounts):
    assert accounts.open
    accounts.add_user("ada", PASSWORD, role="admin", tier="unlimited")
    assert not accounts.open


def test_the_first_account_is_an_admins(accounts):
    with pytest.raises(InvalidRequest, match="no admin"):
        accounts.add_user("bob", PASSWORD)
    assert accounts.open


def test_a_password_opens_whatever_the_case_of_the_name(staffed):
    assert staffed.by_password("ADA", PASSWORD).name == "Ada"
    assert staffed.by_password("ada", PASSWORD).is_admin
    assert staffed.by_password("ada", PASSWORD + "!") is None
    assert staffed.by_password("bob", PASSWORD + "!").role == "user"
    assert staffed.by_password("carol", PASSWORD) is None
    assert staffed.by_password("ada", "x" * 100_000) is None


def test_passwords_are_hashed_as_rfc_9106_says():
    hasher = REAL()
    assert (hasher.type.name, hasher.time_cost, hasher.memory_cost, hasher.parallelism) == ("ID", 3, 65_536, 4)
    assert REAL() is hasher


def test_a_remembered_password_is_forgotten_when_it_changes(staffed):
    assert staffed.by_password("bob", PASSWORD + "!")
    assert staffed.by_password("bob", PASSWORD + "!")
    staffed.change_user("bob", password="another one")
    assert staffed.by_password("bob", PASSWORD + "!") is None
    assert staffed.by_password("bob", "another one")


def test_nothing_stored_gives_a_secret_away(staffed, database):
    _, token = staffed.add_token("bob", "my script")
    session = staffed.sign_in(staffed.by_password("bob", PASSWORD + "!"))
    with database.connect() as connection:
        everything = "\n".join(
            str(row)
            for table in ("users", "tokens", "sessions")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        )
    assert "$argon2id$" in everything
    assert all(secret not in everything for secret in (PASSWORD, token, session))


def test_a_token_works_until_it_expires_or_goes(staffed, clock):
    kept, text_ = staffed.add_token("bob", "script", days=2)
    caller = staffed.by_token(text_)
    assert (caller.name, caller.role, caller.means) == ("bob", "user", "token")
    assert staffed.tokens("bob")[0].used is not None
    assert staffed.by_token(text_ + "x") is None
    clock.now += 2 * 86400 + 1
    assert staffed.by_token(text_) is None
    clock.now -= 86400
    assert not staffed.remove_token(kept.id, user="ada")
    assert staffed.remove_token(kept.id, user="bob")
    assert staffed.by_token(text_) is None


def test_a_session_ends_by_sign_out_time_or_a_new_password(staffed, clock):
    bob = staffed.by_password("bob", PASSWORD + "!")
    first, second, third = (staffed.sign_in(bob) for _ in range(3))
    staffed.sign_out(first)
    assert staffed.by_session(first) is None
    assert staffed.by_session(second).name == "bob"
    staffed.change_user("bob", password="another one")
    assert staffed.by_session(second) is None
    fourth = staffed.sign_in(bob)
    clock.now += SESSION_SECONDS + 1
    assert staffed.by_session(fourth) is None
    assert staffed.by_session(third) is None


def test_a_disabled_user_is_shut_out_everywhere(staffed):
    _, token = staffed.add_token("bob", "script")
    session = staffed.sign_in(staffed.by_password("bob", PASSWORD + "!"))
    staffed.change_user("bob", disabled=True)
    assert staffed.by_password("bob", PASSWORD + "!") is None
    assert staffed.by_token(token) is None
    assert staffed.by_session(session) is None
    staffed.change_user("bob", disabled=False)
    assert staffed.by_token(token).name == "bob"


def test_the_last_admin_stays(staffed):
    for change in ({"role": "user"}, {"disabled": True}):
        with pytest.raises(InvalidRequest, match="no admin"):
            staffed.change_user("ada", **change)
    with pytest.raises(InvalidRequest, match="no admin"):
        staffed.remove_user("ada")
    assert staffed.by_password("ada", PASSWORD).is_admin
    staffed.change_user("bob", role="admin")
    assert staffed.remove_user("ada")
    assert [user.name for user in staffed.users()] == ["bob"]


@pytest.mark.parametrize(
    ("name", "password", "role", "tier", "says"),
    [
        ("", PASSWORD, "user", "standard", "1 to 64"),
        ("a/b", PASSWORD, "user", "standard", "a/b"),
        ("local", PASSWORD, "user", "standard", "local"),
        ("BOB", PASSWORD, "user", "standard", "already"),
        ("carol", "short", "user", "standard", "8 to"),
        ("carol", PASSWORD, "king", "standard", "admin, user, guest"),
        ("carol", PASSWORD, "user", "gold", "guest, standard, unlimited"),
    ],
)
def test_what_cannot_be_says_what_can(staffed, name, password, role, tier, says):
    with pytest.raises(InvalidRequest, match=says):
        staffed.add_user(name, password, role=role, tier=tier)
    assert len(staffed.users()) == 2


def test_accounts_are_there_after_a_restart(staffed, database, clock):
    _, token = staffed.add_token("bob", "script")
    again = StoredAccounts(database, clock)
    assert again.by_token(token).name == "bob"
    assert again.by_password("ada", PASSWORD).is_admin


@pytest.mark.parametrize("name", ["local", "cli", "CLI", "Local", "\uff43\uff4c\uff49"])
def test_names_under_which_the_studio_itself_draws_are_nobodys(staffed, name):
    for inherit in (False, True):
        with pytest.raises(InvalidRequest, match="cli, local"):
            staffed.add_user(name, PASSWORD, inherit=inherit)
    assert staffed.user(name) is None
    assert staffed.add_user("client", PASSWORD).name == "client"
