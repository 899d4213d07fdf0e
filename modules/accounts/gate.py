"""Lets jobs in within the limits of their owner's tier, charges them, and settles what they did not use.

Credits and queue depth are the database's, pictures a minute the counters': a book that has to balance for years, and a
count that is worth nothing after a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, Select, bindparam, exists, select

from modules.accounts import ledger
from modules.accounts.tables import LEDGER, TIERS, USERS, WEIGHTS
from modules.accounts.tiers import FREE, from_json
from modules.contracts.accounts import Allowance, Tier, Wish
from modules.contracts.counters import Count, Counters, Limit
from modules.contracts.errors import InvalidRequest, NotReady, OverLimit

MINUTE = 60.0
SLACK = 1e-6
"""Rounding that is forgiven when credits are compared."""


class LedgerGate:
    """`Gate` over the database. One transaction asks and charges, so two requests cannot use the same credits."""

    def __init__(self, engine: Engine, counters: Counters, clock: Callable[[], float] = time.time) -> None:
        """`counters` counts pictures a minute; `clock` gives seconds since 1970; the tables exist already."""
        self._engine = engine
        self._counters = counters
        self._clock = clock

    def admit(self, owner: str, wish: Wish, job_id: str, pending: int) -> Tier:
        """Charge `owner` and give the tier. Raises as the protocol says, having charged nothing."""
        with self._engine.connect() as connection:
            tier, charged = _standing(connection, owner, job_id)
        if charged:
            return tier
        _check_wish(tier, wish)
        _check_depth(tier, pending)
        with self._rated(owner, tier, wish.pictures), self._engine.begin() as connection:
            now = self._clock()
            if _counts_credits(tier):
                _serialise(connection, owner)
                _check_credits(_allowance(connection, owner, tier, now), wish.credits, now)
            ledger.write(connection, ledger.Line(owner, "charge", -wish.credits, job_id, wish.pictures), now)
        return tier

    def check(self, owner: str, wish: Wish, pending: int) -> None:
        """Raises as the protocol says; nothing is charged or counted."""
        with self._engine.connect() as connection:
            tier = tier_of(connection, owner)
            now = self._clock()
            left = _allowance(connection, owner, tier, now)
        _check_wish(tier, wish)
        _check_depth(tier, pending)
        if tier.pictures_per_minute is not None:
            key, limit = _rate(owner, tier.pictures_per_minute)
            count = self._counters.look(key, wish.pictures, limit)
            if count.wait > 0:
                raise _too_fast(tier, count)
        # A wish whose pictures are not known yet may look free; nobody without credits has them looked at.
        _check_credits(left, max(wish.credits, 2 * SLACK), now)

    @contextlib.contextmanager
    def _rated(self, owner: str, tier: Tier, pictures: int) -> Iterator[None]:
        """Counts pictures of this minute, and takes them back when nothing comes of it.

        Outside of the transaction, so that no writer waits for a server of counters that does not answer.
        """
        if tier.pictures_per_minute is None:
            yield
            return
        key, limit = _rate(owner, tier.pictures_per_minute)
        count = self._counters.take(key, pictures, limit)
        if count.ticket is None:
            raise _too_fast(tier, count)
        try:
            yield
        except BaseException:
            with contextlib.suppress(NotReady):  # then it is over within a minute anyway; the reason counts for more
                self._counters.give_back(key, count.ticket)
            raise

    def settle(self, job_id: str, made: int) -> None:
        """Give back what the missing pictures cost."""
        with self._engine.begin() as connection:
            ledger.refund(connection, job_id, made, self._clock())

    def open_charges(self) -> list[str]:
        """Jobs that were charged and that nobody has settled."""
        with self._engine.connect() as connection:
            return [row.job_id for row in ledger.unsettled(connection)]

    def allowance(self, owner: str) -> Allowance:
        """What is left."""
        with self._engine.connect() as connection:
            return _allowance(connection, owner, tier_of(connection, owner), self._clock())

    def left_this_minute(self, owner: str) -> int | None:
        """Pictures that the tier allows now; None is without limit. Raises `NotReady` where nobody counts."""
        with self._engine.connect() as connection:
            most = tier_of(connection, owner).pictures_per_minute
        if most is None:
            return None
        key, limit = _rate(owner, most)
        return max(0, most - self._counters.look(key, 0, limit).used)


def tier_of(connection: Connection, owner: str) -> Tier:
    """The tier of the account of that name; the one without limits where there is none, and for admins.

    Its weight is the owner's own where an admin has given them one.
    """
    return _standing(connection, owner, None)[0]


def _standing(connection: Connection, owner: str, job_id: str | None) -> tuple[Tier, bool]:
    """The tier of an owner, and whether that job was charged before: all that a job's admission reads, in one go."""
    row = connection.execute(_asking(), {"of": owner, "job": job_id}).one()
    free = row.limits is None or row.role == "admin"
    tier = FREE if free else from_json(row.name, row.limits)
    return tier if row.weight is None else dataclasses.replace(tier, weight=row.weight), bool(row.charged)


@cache
def _asking() -> Select[Any]:
    """Built once: that takes longer than running it."""
    this = select(bindparam("of", type_=USERS.c.name.type).label("name")).subquery()
    charge = exists().where(LEDGER.c.job_id == bindparam("job"), LEDGER.c.kind == "charge")
    query = select(USERS.c.role, TIERS.c.name, TIERS.c.limits, WEIGHTS.c.weight, charge.label("charged"))
    joined = this.outerjoin(USERS, USERS.c.name == this.c.name).outerjoin(TIERS, TIERS.c.name == USERS.c.tier)
    return query.select_from(joined.outerjoin(WEIGHTS, WEIGHTS.c.owner == this.c.name))


def _serialise(connection: Connection, owner: str) -> None:
    """Lets one request of an owner in at a time: SQLite has one writer; PostgreSQL locks the account's row."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(select(USERS.c.id).where(USERS.c.name == owner).with_for_update())


def _check_wish(tier: Tier, wish: Wish) -> None:
    if wish.script and dataclasses.replace(tier, name=FREE.name, queue_depth=None, weight=FREE.weight) != FREE:
        raise InvalidRequest(
            f"The script {wish.script!r} decides by itself how much it draws, which the limits of the tier {tier.name} "
            "cannot foresee; ask for the pictures one by one, or for a tier without limits."
        )
    if tier.max_pixels is not None and wish.pixels > tier.max_pixels:
        raise InvalidRequest(f"A picture of {wish.pixels} pixels; the tier {tier.name} allows {tier.max_pixels}.")
    if tier.max_steps is not None and wish.steps > tier.max_steps:
        raise InvalidRequest(f"{wish.steps} steps; the tier {tier.name} allows {tier.max_steps}.")
    for model in wish.models if tier.models else ():
        if not any(fnmatchcase(model, pattern) for pattern in tier.models):
            allowed = ", ".join(tier.models)
            raise InvalidRequest(f"The tier {tier.name} does not allow the model {model!r}; it allows {allowed}.")
    if tier.pictures_per_minute is not None and wish.pictures > tier.pictures_per_minute:
        most = tier.pictures_per_minute
        raise InvalidRequest(f"{wish.pictures} pictures at once; the tier {tier.name} allows {most} a minute.")


def _check_depth(tier: Tier, pending: int) -> None:
    if tier.queue_depth is not None and pending >= tier.queue_depth:
        raise OverLimit(
            f"{pending} jobs of yours wait or run; the tier {tier.name} allows {tier.queue_depth}.", retry_after=10.0
        )


def _too_fast(tier: Tier, count: Count) -> OverLimit:
    wait = max(1.0, count.wait)
    done = f"{count.used} picture{'' if count.used == 1 else 's'} in the last minute"
    allowed = f"the tier {tier.name} allows {tier.pictures_per_minute}"
    return OverLimit(f"{done}; {allowed}, try again in {wait:.0f} s.", retry_after=wait)


def _rate(owner: str, most: int) -> tuple[str, Limit]:
    """Under which key somebody's pictures are counted, and how many there may be."""
    return f"pictures:{owner}", Limit(most, MINUTE)


def _check_credits(left: Allowance, credits: float, now: float) -> None:
    for name, value, most, end in (
        ("today", left.left_today, left.tier.credits_per_day, ledger.day_end(now)),
        ("this month", left.left_this_month, left.tier.credits_per_month, ledger.month_end(now)),
    ):
        if value is None or credits <= value + SLACK:
            continue
        if most is not None and credits > most + SLACK and value <= most:
            raise InvalidRequest(f"It costs {credits:.1f} credits; the tier {left.tier.name} has {most:.0f} in all.")
        raise OverLimit(f"It costs {credits:.1f} credits, and {value:.1f} are left {name}.", retry_after=end - now)


def _counts_credits(tier: Tier) -> bool:
    return tier.credits_per_day is not None or tier.credits_per_month is not None


def _allowance(connection: Connection, owner: str, tier: Tier, now: float) -> Allowance:
    usage = ledger.usage(connection, owner, now)
    left_today, left_month = tier.credits_per_day, tier.credits_per_month
    if left_today is not None:
        left_today = max(0.0, left_today + usage.granted_today - usage.used_today)
    if left_month is not None:
        left_month = max(0.0, left_month + usage.granted_this_month - usage.used_this_month)
    return Allowance(tier, usage.used_today, usage.used_this_month, left_today, left_month)
