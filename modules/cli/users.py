"""`launch.py users`: accounts from the terminal, where whoever started the studio needs no password."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from modules.accounts.service import StoredAccounts
from modules.bootstrap.options import Options
from modules.contracts.accounts import ROLES, Tier
from modules.contracts.errors import InvalidRequest
from modules.support.paths import Paths


def run(argv: Sequence[str], options: Options) -> int:
    """Run one command line and return its exit code; `StudioError` is the caller's to show."""
    from modules.call_queue.database import open_database, open_server

    found = _parser().parse_args(list(argv))
    paths = Paths(options.paths.data_dir, options.paths.models_dir).ensure()
    address = options.paths.database_url
    database = open_database(paths.database) if address is None else open_server(address)
    try:
        answer = found.action(StoredAccounts(database), found)
    finally:
        database.dispose()
    _show(answer, as_json=found.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="launch.py users", description="Accounts.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, action: Any, help: str, *, user: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        command.set_defaults(action=action)
        command.add_argument("--json", action="store_true", help="answer in JSON")
        if user:
            command.add_argument("name", metavar="NAME")
        return command

    add("list", _list, "all accounts and what they have left today", user=False)
    new = add("add", _add, "make an account; the first one has to be an admin's")
    change = add("change", _change, "change role, tier or password, shut out or let in again")
    for command, role in ((new, "user"), (change, None)):
        command.add_argument("--role", choices=ROLES, default=role)
        command.add_argument("--tier")
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    change.add_argument("--password", action="store_true", help="ask for a new password")
    change.add_argument("--disabled", choices=("yes", "no"))
    add("remove", _remove, "take an account away; what it made stays")
    token = add("token", _token, "make a token for a program and show it once")
    token.add_argument("--label", default="")
    token.add_argument("--days", type=float, help="how long it works (for ever)")
    add("tokens", _tokens, "the tokens of an account")
    grant = add("grant", _grant, "give credits beyond the tier's for this day and month, or take some back")
    grant.add_argument("credits", type=float)
    grant.add_argument("--note", default="")
    book = add("ledger", _ledger, "the account book, newest first", user=False)
    book.add_argument("--owner")
    book.add_argument("--limit", type=int, default=50)
    add("tiers", _tiers, "all tiers", user=False)
    tier = add("tier", _tier, "add or change a tier; what is not given is without limit")
    for field in dataclasses.fields(Tier):
        if field.name == "models":
            tier.add_argument("--models", nargs="*", default=[], metavar="PATTERN")
        elif field.name == "weight":
            tier.add_argument("--weight", type=float, default=1.0)
        elif field.name != "name":
            kind = float if field.name.startswith("credits") else int
            tier.add_argument(f"--{field.name.replace('_', '-')}", type=kind, metavar=kind.__name__.upper())
    return parser


def _password(found: argparse.Namespace) -> str:
    if found.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"Password for {found.name}: ")
    if getpass.getpass("Once more: ") != first:
        raise InvalidRequest("The two passwords differ; nothing was changed.")
    return first


def _list(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
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
                "left_today": None if left.left_today is None else round(left.left_today, 1),
            }
        )
    return rows


def _add(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    tier = found.tier or ("unlimited" if found.role == "admin" else found.role.replace("user", "standard"))
    return accounts.add_user(found.name, _password(found), role=found.role, tier=tier)


def _change(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    password = _password(found) if found.password or found.password_stdin else None
    disabled = None if found.disabled is None else found.disabled == "yes"
    return accounts.change_user(found.name, password=password, role=found.role, tier=found.tier, disabled=disabled)


def _remove(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    if not accounts.remove_user(found.name):
        raise InvalidRequest(f"There is no user {found.name!r}.")
    return {"removed": found.name}


def _token(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    token, text = accounts.add_token(found.name, found.label, days=found.days)
    return {**dataclasses.asdict(token), "text": text}


def _tokens(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    return list(accounts.tokens(found.name))


def _grant(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    if accounts.user(found.name) is None:
        raise InvalidRequest(f"There is no user {found.name!r}.")
    return accounts.grant(found.name, found.credits, found.note)


def _ledger(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    return list(accounts.ledger(found.owner, limit=found.limit))


def _tiers(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    return list(accounts.tiers())


def _tier(accounts: StoredAccounts, found: argparse.Namespace) -> Any:
    values = {field.name: getattr(found, field.name) for field in dataclasses.fields(Tier)}
    tier = Tier(**{**values, "models": tuple(found.models)})
    accounts.set_tier(tier)
    return tier


def _show(answer: Any, *, as_json: bool) -> None:
    rows = [row if isinstance(row, dict) else dataclasses.asdict(row) for row in _listed(answer)]
    if as_json:
        shown = rows if isinstance(answer, list) else rows[0]
        sys.stdout.write(json.dumps(shown, default=str, indent=2) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0] if rows else ("nothing",):
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(highlight=False, markup=False).print(table)


def _listed(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]
