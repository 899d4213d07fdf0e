"""Tables of an earlier version become those of this one, and nothing that counts is lost."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from modules.accounts.service import HEAD, StoredAccounts
from modules.accounts.tables import METADATA
from modules.support.migration import version_table

both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
FIRST = """
CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE, password TEXT NOT NULL,
  role TEXT NOT NULL, tier TEXT NOT NULL, created FLOAT NOT NULL, disabled BOOLEAN NOT NULL);
CREATE TABLE tokens (id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), digest TEXT NOT NULL UNIQUE,
  label TEXT NOT NULL, created FLOAT NOT NULL, expires FLOAT, used FLOAT);
CREATE TABLE sessions (digest TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), expires FLOAT NOT NULL);
CREATE TABLE tiers (name TEXT PRIMARY KEY, limits TEXT NOT NULL);
CREATE TABLE ledger (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, moment FLOAT NOT NULL, kind TEXT NOT NULL,
  credits FLOAT NOT NULL, job_id TEXT, pictures INTEGER NOT NULL, note TEXT NOT NULL);
CREATE TABLE picture_starts (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, moment FLOAT NOT NULL,
  pictures INTEGER NOT NULL);
CREATE TABLE accounts_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO accounts_version VALUES ('accounts_1');
INSERT INTO users VALUES ('1', 'ada', 'ada', 'x', 'admin', 'unlimited', 1773000000, FALSE);
INSERT INTO users VALUES ('2', 'bob', 'bob', 'x', 'user', 'small', 1773000000, FALSE);
INSERT INTO tiers VALUES ('small', '{"credits_per_day": 20, "queue_depth": 3, "gone": 1}');
INSERT INTO ledger VALUES (1, 'bob', 1773143000, 'charge', -5, 'job', 1, '');
INSERT INTO picture_starts VALUES (1, 'bob', 1773143990, 1);
"""


@both
def test_accounts_of_the_first_version_are_taken_over(database, clock):
    with database.begin() as connection:
        for statement in FIRST.split(";"):
            if statement.strip():
                connection.execute(text(statement))
    accounts = StoredAccounts(database, clock)
    assert [(user.name, user.tier) for user in accounts.users()] == [("ada", "unlimited"), ("bob", "small")]
    assert accounts.allowance("bob").left_today == 15
    accounts.set_preferences("bob", {"jpeg_quality": 70})
    accounts.set_weight("bob", 2.0)
    again = StoredAccounts(database, clock)
    assert again.preferences("bob") == {"jpeg_quality": 70}
    assert again.allowance("bob").tier.weight == 2


@both
def test_the_scripts_make_the_tables_that_the_code_expects(database):
    StoredAccounts(database)
    inspector = inspect(database)
    assert set(inspector.get_table_names()) == {*METADATA.tables, version_table("accounts")}
    for name, table in METADATA.tables.items():
        made = {column["name"]: column["nullable"] for column in inspector.get_columns(name)}
        assert made == {column.name: column.nullable for column in table.columns}, name
        assert inspector.get_pk_constraint(name)["constrained_columns"] == [key.name for key in table.primary_key]
    with database.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM accounts_version")).scalar() == HEAD
