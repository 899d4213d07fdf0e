"""What the commands of `launch.py users` do: each takes the accounts and its arguments and returns what is shown."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import sys
from typing import Any

from modules.accounts.service import StoredAccounts
from modules.contracts.accounts import Tier, User
from modules.contracts.errors import InvalidRequest

NONE = "none"
"""What lifts a limit, or takes back what somebody was given."""


def list_users(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """All accounts and what they have left today."""
    rows = []
    for user in accounts.users():
        left = accounts.allowance(user.name)
        rows.append(
            {
                "name": user.name,
                "role": user.role,
                "tier": user.tier,
                "disabled": user.disabled,
                "used_today": round(left.used_today, 1),
                "left_today": _rounded(left.left_today),
            }
        )
    return rows


def show_user(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """One account, whole."""
    user = _known(accounts, found.name)
    left = accounts.allowance(user.name)
    return {
        **{key: value for key, value in dataclasses.asdict(user).items() if key != "id"},
        "used_today": _rounded(left.used_today),
        "left_today": _rounded(left.left_today),
        "used_this_month": _rounded(left.used_this_month),
        "left_this_month": _rounded(left.left_this_month),
        "weight": left.tier.weight,
        "tokens": len(accounts.tokens(user.name)),
        "own_settings": ", ".join(sorted(accounts.preferences(user.name))) or None,
    }


def add_user(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The account that was made."""
    return accounts.add_user(found.name, _password(found), role=found.role, tier=found.tier, inherit=found.inherit)


def change_user(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The account as it is now."""
    password = _password(found) if found.password or found.password_stdin else None
    disabled = None if found.disabled is None else found.disabled == "yes"
    return accounts.change_user(found.name, password=password, role=found.role, tier=found.tier, disabled=disabled)


def remove_user(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The name that went."""
    if not accounts.remove_user(found.name):
        raise InvalidRequest(f"There is no user {found.name!r}.")
    return {"removed": found.name}


def sign_out(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """How many sessions ended."""
    return {"name": found.name, "sessions_ended": accounts.end_sessions(found.name)}


def set_weight(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The part of the lanes that holds from the next job on."""
    user = _known(accounts, found.name)
    return {"name": user.name, "weight": accounts.set_weight(user.name, found.weight).weight}


def make_token(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The token with its text."""
    token, text = accounts.add_token(found.name, found.label, days=found.days)
    return {**dataclasses.asdict(token), "text": text}


def list_tokens(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """All tokens of an account."""
    return list(accounts.tokens(_known(accounts, found.name).name))


def drop_token(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The id that went."""
    if not accounts.remove_token(found.id, user=_known(accounts, found.name).name):
        raise InvalidRequest(f"There is no token {found.id!r} of {found.name}.")
    return {"removed": found.id}


def grant(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The line in the book."""
    return accounts.grant(_known(accounts, found.name).name, found.credits, found.note)


def list_ledger(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """Lines of the book, newest first."""
    return list(accounts.ledger(found.owner, limit=found.limit))


def list_tiers(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """All tiers."""
    return list(accounts.tiers())


def set_tier(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The tier as it is now: of one that is there, what was not given stays."""
    before = next((tier for tier in accounts.tiers() if tier.name == found.name), Tier(found.name))
    names = {field.name for field in dataclasses.fields(Tier)} - {"name"}
    given = {name: getattr(found, name) for name in names if hasattr(found, name)}
    if "models" in given:
        given["models"] = tuple(given["models"])
    tier = dataclasses.replace(before, **given)
    accounts.set_tier(tier)
    return tier


def drop_tier(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    """The name that went."""
    if not accounts.remove_tier(found.name):
        raise InvalidRequest(f"There is no tier {found.name!r}.")
    return {"removed": found.name}


def _known(accounts: StoredAccounts, name: str) -> User:
    user = accounts.user(name)
    if user is None:
        raise InvalidRequest(f"There is no user {name!r}.")
    return user


def _password(found: argparse.Namespace) -> str:
    if found.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"Password for {found.name}: ")
    if getpass.getpass("Once more: ") != first:
        raise InvalidRequest("The two passwords differ; nothing was changed.")
    return first


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
