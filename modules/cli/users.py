"""`launch.py users`: accounts from the terminal, where whoever started the studio needs no password."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from modules.accounts.service import StoredAccounts
from modules.bootstrap.options import Options
from modules.cli import users_actions as actions
from modules.contracts.accounts import ROLES
from modules.support.paths import Paths

Action = Callable[[StoredAccounts, argparse.Namespace], Any]
AMOUNTS = ("credits_per_day", "credits_per_month")
NUMBERS = ("pictures_per_minute", "max_pixels", "max_steps", "queue_depth")
"""Limits of a tier that are flags of the same name."""


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

    def add(name: str, action: Action, help: str, *, user: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        command.set_defaults(action=action)
        command.add_argument("--json", action="store_true", help="answer in JSON")
        if user:
            command.add_argument("name", metavar="NAME")
        return command

    _add_people(add)
    _add_tokens(add)
    _add_credits(add)
    return parser


def _add_people(add: Callable[..., argparse.ArgumentParser]) -> None:
    add("list", actions.list_users, "all accounts and what they have left today", user=False)
    add("show", actions.show_user, "one account, and what it has left today and this month")
    new = add("add", actions.add_user, "make an account; the first one has to be an admin's")
    change = add("change", actions.change_user, "change role, tier or password, shut out or let in again")
    for command, role in ((new, "user"), (change, None)):
        command.add_argument("--role", choices=ROLES, default=role)
        command.add_argument("--tier", help="a new account has that of its role")
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    new.add_argument("--inherit", action="store_true", help="take over what was drawn under that name before")
    change.add_argument("--password", action="store_true", help="ask for a new password")
    change.add_argument("--disabled", choices=("yes", "no"))
    add("remove", actions.remove_user, "take an account away; what it made stays")
    add("sign-out", actions.sign_out, "end all sessions of an account; its tokens go on")
    weight = add("weight", actions.set_weight, "give somebody a part of the lanes of their own, from the next job on")
    weight.add_argument("weight", type=_limit(float), metavar="WEIGHT", help="above 0; none: what the tier says")


def _add_tokens(add: Callable[..., argparse.ArgumentParser]) -> None:
    token = add("token", actions.make_token, "make a token for a program and show it once")
    token.add_argument("--label", default="")
    token.add_argument("--days", type=float, help="how long it works (for ever)")
    add("tokens", actions.list_tokens, "the tokens of an account")
    drop = add("drop-token", actions.drop_token, "take a token away, at once")
    drop.add_argument("id", metavar="ID", help="as `tokens` lists it")


def _add_credits(add: Callable[..., argparse.ArgumentParser]) -> None:
    grant = add("grant", actions.grant, "give credits beyond the tier's for this day and month, or take some back")
    grant.add_argument("credits", type=float)
    grant.add_argument("--note", default="")
    book = add("ledger", actions.list_ledger, "the account book, newest first", user=False)
    book.add_argument("--owner")
    book.add_argument("--limit", type=int, default=50)
    add("tiers", actions.list_tiers, "all tiers", user=False)
    tier = add("tier", actions.set_tier, "add a tier, or change one: what is not given stays; none lifts a limit")
    for name in (*AMOUNTS, *NUMBERS):
        kind = float if name in AMOUNTS else int
        tier.add_argument(
            f"--{name.replace('_', '-')}", type=_limit(kind), default=argparse.SUPPRESS, metavar=kind.__name__.upper()
        )
    tier.add_argument("--models", nargs="*", default=argparse.SUPPRESS, metavar="PATTERN", help="nothing: all")
    tier.add_argument("--weight", type=float, default=argparse.SUPPRESS, help="part of the lanes; 1 for a new tier")
    add("drop-tier", actions.drop_tier, "take a tier away that nobody has")


def _limit(kind: type[int] | type[float]) -> Callable[[str], float | None]:
    """Reads a number, or the word that stands for no limit."""

    def read(text: str) -> float | None:
        return None if text.lower() == actions.NONE else kind(text)

    read.__name__ = f"{kind.__name__} or none"
    return read


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
