"""`Accounts` over the database: the one object that the composition root hands to the fronts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from modules.accounts import ledger
from modules.accounts.counters.memory import MemoryCounters
from modules.accounts.gate import LedgerGate
from modules.accounts.people import People
from modules.accounts.preferences import StoredPreferences
from modules.accounts.tables import TIERS, USERS, WEIGHTS
from modules.accounts.tiers import AT_FIRST, OF_ROLE, check, from_json, to_json
from modules.contracts.accounts import Allowance, ApiToken, Caller, LedgerEntry, Role, Tier, User
from modules.contracts.counters import Counters
from modules.contracts.errors import InvalidRequest
from modules.support.migration import migrate

SCRIPTS = Path(__file__).with_name("migrations")
HEAD = "accounts_4"


class StoredAccounts:
    """See the protocol. Safe from several threads and processes; `gate` is what the queue asks."""

    def __init__(
        self, engine: Engine, clock: Callable[[], float] = time.time, counters: Counters | None = None
    ) -> None:
        """Makes or renews the tables in the database of `engine`; `clock` gives seconds since 1970.

        Without `counters` what is limited a minute is counted in memory.
        """
        migrate(engine, "accounts", SCRIPTS, head=HEAD, first_table="users")
        self._engine = engine
        self._clock = clock
        self._people = People(engine, clock)
        self._preferences = StoredPreferences(engine)
        self.gate = LedgerGate(engine, counters or MemoryCounters(), clock)
        with engine.begin() as connection:
            known = {row.name for row in connection.execute(select(TIERS.c.name))}
            for tier in AT_FIRST:
                if not known:
                    connection.execute(insert(TIERS).values(name=tier.name, limits=to_json(tier)))

    @property
    def open(self) -> bool:
        """There are no accounts."""
        return not self._people.any()

    def by_password(self, name: str, password: str) -> Caller | None:
        """Who has that name and password."""
        return self._people.by_password(name, password)

    def by_token(self, text: str) -> Caller | None:
        """Whose token that is."""
        return self._people.by_token(text)

    def by_session(self, text: str) -> Caller | None:
        """Whose session that is."""
        return self._people.by_session(text)

    def sign_in(self, caller: Caller) -> str:
        """A new session's text."""
        return self._people.sign_in(caller)

    def sign_out(self, text: str) -> None:
        """End a session."""
        self._people.sign_out(text)

    def end_sessions(self, name: str) -> int:
        """Sign a user out everywhere."""
        return self._people.end_sessions(name)

    def add_user(
        self, name: str, password: str, *, role: Role = "user", tier: str | None = None, inherit: bool = False
    ) -> User:
        """A new account; the first one has to be an admin's. A name that was drawn under needs `inherit`."""
        return self._people.add(name, password, role, tier or OF_ROLE.get(role, ""), inherit=inherit)

    def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        role: Role | None = None,
        tier: str | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Changes what is given."""
        given = {"password": password, "role": role, "tier": tier, "disabled": disabled}
        return self._people.change(name, {key: value for key, value in given.items() if value is not None})

    def remove_user(self, name: str) -> bool:
        """The account goes; what it made stays."""
        return self._people.remove(name)

    def users(self) -> Sequence[User]:
        """By name."""
        return self._people.all()

    def user(self, name: str) -> User | None:
        """The account of that name."""
        return self._people.one(name)

    def add_token(self, user: str, label: str, *, days: float | None = None) -> tuple[ApiToken, str]:
        """A new token and its text."""
        return self._people.add_token(user, label, days)

    def tokens(self, user: str) -> Sequence[ApiToken]:
        """Oldest first."""
        return self._people.tokens(user)

    def remove_token(self, token_id: str, user: str | None = None) -> bool:
        """Whether there was one."""
        return self._people.remove_token(token_id, user)

    def tiers(self) -> Sequence[Tier]:
        """By name."""
        with self._engine.connect() as connection:
            return [from_json(row.name, row.limits) for row in connection.execute(select(TIERS).order_by(TIERS.c.name))]

    def set_tier(self, tier: Tier) -> None:
        """Add or replace a tier."""
        check(tier)
        with self._engine.begin() as connection:
            connection.execute(delete(TIERS).where(TIERS.c.name == tier.name))
            connection.execute(insert(TIERS).values(name=tier.name, limits=to_json(tier)))

    def remove_tier(self, name: str) -> bool:
        """Whether there was one."""
        if name in OF_ROLE.values():
            raise InvalidRequest(f"The tier {name} is what new accounts of a role get; change it instead.")
        with self._engine.begin() as connection:
            holders = [row.name for row in connection.execute(select(USERS.c.name).where(USERS.c.tier == name))]
            if holders:
                raise InvalidRequest(
                    f"The tier {name} is that of {', '.join(sorted(holders))}; give them another first."
                )
            return connection.execute(delete(TIERS).where(TIERS.c.name == name)).rowcount > 0

    def set_weight(self, owner: str, weight: float | None) -> Tier:
        """An owner's own part of the lanes."""
        if weight is not None and not 0 < weight < float("inf"):
            raise InvalidRequest(f"The weight of an owner is a number above 0; {weight} was given.")
        with self._engine.begin() as connection:
            connection.execute(delete(WEIGHTS).where(WEIGHTS.c.owner == owner))
            if weight is not None:
                connection.execute(insert(WEIGHTS).values(owner=owner, weight=weight))
        return self.gate.allowance(owner).tier

    def preferences(self, owner: str) -> Mapping[str, Any]:
        """What that user has set for themselves."""
        return self._preferences.of(owner)

    def set_preferences(self, owner: str, changes: Mapping[str, Any]) -> None:
        """Keep what a user has set."""
        self._preferences.change(owner, changes)

    def allowance(self, owner: str) -> Allowance:
        """What is left for that owner."""
        return self.gate.allowance(owner)

    def left_this_minute(self, owner: str) -> int | None:
        """Pictures that the tier allows now."""
        return self.gate.left_this_minute(owner)

    def grant(self, owner: str, credits: float, note: str) -> LedgerEntry:
        """Give or take back credits for this month."""
        if not abs(credits) < float("inf") or credits == 0:
            raise InvalidRequest(f"A grant is a number of credits other than 0, not {credits}.")
        with self._engine.begin() as connection:
            ledger.write(connection, ledger.Line(owner, "grant", credits, note=note[:500]), self._clock())
            return ledger.lines(connection, owner, 1)[0]

    def ledger(self, owner: str | None = None, *, limit: int = 100, after: int | None = None) -> Sequence[LedgerEntry]:
        """Newest first, behind the line with the number `after`."""
        with self._engine.connect() as connection:
            return ledger.lines(connection, owner, limit, after)

    def ledger_length(self, owner: str | None = None) -> int:
        """How many lines there are."""
        with self._engine.connect() as connection:
            return ledger.length(connection, owner)
