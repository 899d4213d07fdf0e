"""Users, their tokens and their sessions, in the database."""

from __future__ import annotations

import re
import time
import unicodedata
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from modules.accounts import secrets
from modules.accounts.tables import LEDGER, PREFERENCES, SESSIONS, TIERS, TOKENS, USERS, WEIGHTS
from modules.contracts.accounts import RESERVED, ROLES, ApiToken, Caller, Role, User
from modules.contracts.errors import InvalidRequest

SESSION_SECONDS = 30 * 86400.0
NAME = re.compile(r"[\w.@+-]{1,64}")
SURE_SECONDS = 1.0
"""For how long it is taken for granted that there still are accounts; that there are none is looked up every time."""
NOTE_USE_EVERY = 60.0
"""A token's last use is written down this often at most, in seconds."""


class People:
    """Everything about who somebody is. Safe from several threads and processes."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970; the tables exist already."""
        self._engine = engine
        self._clock = clock
        self._proven = secrets.Proven()
        self._sure_until = float("-inf")

    def any(self) -> bool:
        """Whether there is an account at all. Every request asks it, so a yes holds for a moment.

        An account that another process has made counts at once; that another process has taken the last one away is
        noticed within `SURE_SECONDS`, and until then the studio stays closed.
        """
        if time.monotonic() < self._sure_until:
            return True
        with self._engine.connect() as connection:
            found = connection.execute(select(USERS.c.id).limit(1)).first() is not None
        if found:
            self._sure_until = time.monotonic() + SURE_SECONDS
        return found

    def by_password(self, name: str, password: str) -> Caller | None:
        """Who has that name and password, and is not disabled."""
        with self._engine.connect() as connection:
            row = connection.execute(select(USERS).where(USERS.c.folded == _fold(name))).first()
        if not self._proven.fits(row.password if row else None, password) or row is None or row.disabled:
            return None
        return Caller(row.name, row.role, "password")

    def by_token(self, text: str) -> Caller | None:
        """Whose token that is, unless it has expired or its user is disabled."""
        now = self._clock()
        with self._engine.connect() as connection:
            row = connection.execute(_holder(), {"digest": secrets.digest(text), "now": now}).first()
        if row is None:
            return None
        if row.used is None or now - row.used > NOTE_USE_EVERY:
            with self._engine.begin() as connection:
                connection.execute(update(TOKENS).where(TOKENS.c.id == row.id).values(used=now))
        return Caller(row.name, row.role, "token")

    def by_session(self, text: str) -> Caller | None:
        """Who was given that session, unless it has ended or its user is disabled."""
        query = select(USERS.c.name, USERS.c.role).join_from(SESSIONS, USERS)
        query = query.where(SESSIONS.c.digest == secrets.digest(text), SESSIONS.c.expires > self._clock())
        with self._engine.connect() as connection:
            row = connection.execute(query.where(~USERS.c.disabled)).first()
        return None if row is None else Caller(row.name, row.role, "session")

    def sign_in(self, caller: Caller) -> str:
        """A new session's text; sessions that have ended go."""
        text, now = secrets.new_session(), self._clock()
        with self._engine.begin() as connection:
            user = row_of(connection, caller.name)
            connection.execute(delete(SESSIONS).where(SESSIONS.c.expires <= now))
            values = {"digest": secrets.digest(text), "user_id": user.id, "expires": now + SESSION_SECONDS}
            connection.execute(insert(SESSIONS).values(values))
        return text

    def sign_out(self, text: str) -> None:
        """End that session."""
        with self._engine.begin() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.digest == secrets.digest(text)))

    def end_sessions(self, name: str) -> int:
        """Sign a user out everywhere; how many sessions that were."""
        with self._engine.begin() as connection:
            user = row_of(connection, name)
            ended = delete(SESSIONS).where(SESSIONS.c.user_id == user.id, SESSIONS.c.expires > self._clock())
            return connection.execute(ended).rowcount

    def add(self, name: str, password: str, role: Role, tier: str, *, inherit: bool = False) -> User:
        """A new account. Raises `InvalidRequest` for what cannot be.

        Jobs, pictures and ledger belong to names. One that has a line in the ledger, as whoever drew has, is given to
        somebody else only with `inherit`.
        """
        name = unicodedata.normalize("NFC", name)
        if NAME.fullmatch(name) is None or _fold(name) in RESERVED:
            raise InvalidRequest(
                f"A user's name has 1 to 64 letters, digits or . _ @ + -, not {name!r}; nor is it one of "
                f"{', '.join(sorted(RESERVED))}, under which the studio itself draws."
            )
        values = {"id": uuid.uuid4().hex, "name": name, "folded": _fold(name), "tier": tier, "disabled": False}
        values |= {"role": _checked(role), "password": secrets.hash_password(password), "created": self._clock()}
        try:
            with self._engine.begin() as connection:
                _check_tier(connection, tier)
                if not inherit:
                    _check_unused(connection, name)
                connection.execute(insert(USERS).values(values))
                _keep_an_admin(connection)
                return _user(row_of(connection, name))
        except IntegrityError as error:
            raise InvalidRequest(f"There is a user {name!r} already.") from error

    def change(self, name: str, values: dict[str, Any]) -> User:
        """Change columns of an account; `password` comes in the clear. Raises `InvalidRequest` for what cannot be."""
        with self._engine.begin() as connection:
            user = row_of(connection, name)
            if "role" in values:
                _checked(values["role"])
            if "tier" in values:
                _check_tier(connection, values["tier"])
            if "password" in values:
                values = {**values, "password": secrets.hash_password(values["password"])}
            if values:
                connection.execute(update(USERS).where(USERS.c.id == user.id).values(values))
            _keep_an_admin(connection)
            if "password" in values or values.get("disabled"):
                connection.execute(delete(SESSIONS).where(SESSIONS.c.user_id == user.id))
            return _user(row_of(connection, name))

    def remove(self, name: str) -> bool:
        """The account with all that is its own. Raises `InvalidRequest` for the last admin beside other users."""
        with self._engine.begin() as connection:
            user = connection.execute(select(USERS).where(USERS.c.folded == _fold(name))).first()
            if user is None:
                return False
            for table in (TOKENS, SESSIONS, PREFERENCES):
                connection.execute(delete(table).where(table.c.user_id == user.id))
            connection.execute(delete(WEIGHTS).where(WEIGHTS.c.owner == user.name))
            connection.execute(delete(USERS).where(USERS.c.id == user.id))
            _keep_an_admin(connection)
        self._sure_until = float("-inf")
        return True

    def all(self) -> list[User]:
        """By name."""
        with self._engine.connect() as connection:
            return [_user(row) for row in connection.execute(select(USERS).order_by(USERS.c.folded))]

    def one(self, name: str) -> User | None:
        """The account of that name."""
        with self._engine.connect() as connection:
            row = connection.execute(select(USERS).where(USERS.c.folded == _fold(name))).first()
        return None if row is None else _user(row)

    def add_token(self, user: str, label: str, days: float | None) -> tuple[ApiToken, str]:
        """A token for that user, with its text."""
        text, now = secrets.new_token(), self._clock()
        if days is not None and not 0 < days <= 36_500:
            raise InvalidRequest(f"A token lasts above 0 and at most 36500 days, not {days}.")
        values = {"id": uuid.uuid4().hex, "digest": secrets.digest(text), "label": label[:200], "created": now}
        with self._engine.begin() as connection:
            owner = row_of(connection, user)
            values |= {"user_id": owner.id, "expires": None if days is None else now + days * 86400, "used": None}
            connection.execute(insert(TOKENS).values(values))
        return _token(owner.name, values), text

    def tokens(self, user: str) -> Sequence[ApiToken]:
        """Oldest first."""
        query = select(USERS.c.name, TOKENS).join_from(TOKENS, USERS).where(USERS.c.folded == _fold(user))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(TOKENS.c.created, TOKENS.c.id)).mappings()
            return [_token(row["name"], row) for row in rows]

    def remove_token(self, token_id: str, user: str | None) -> bool:
        """Whether there was one, of that user where one is named."""
        query = delete(TOKENS).where(TOKENS.c.id == token_id)
        if user is not None:
            owners = select(USERS.c.id).where(USERS.c.folded == _fold(user))
            query = query.where(TOKENS.c.user_id.in_(owners))
        with self._engine.begin() as connection:
            return connection.execute(query).rowcount > 0


@cache
def _holder() -> Any:
    """Whose token it is. Built once: that takes longer than running it, and every request of a program asks."""
    query = select(USERS.c.name, USERS.c.role, TOKENS.c.id, TOKENS.c.used).join_from(TOKENS, USERS)
    query = query.where(TOKENS.c.digest == bindparam("digest"), ~USERS.c.disabled)
    return query.where((TOKENS.c.expires.is_(None)) | (TOKENS.c.expires > bindparam("now")))


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def row_of(connection: Connection, name: str) -> Row[Any]:
    """The account of that name, whatever its case. Raises `InvalidRequest` when there is none."""
    row = connection.execute(select(USERS).where(USERS.c.folded == _fold(name))).first()
    if row is None:
        raise InvalidRequest(f"There is no user {name!r}.")
    return row


def _check_tier(connection: Connection, tier: str) -> None:
    names = [row.name for row in connection.execute(select(TIERS.c.name).order_by(TIERS.c.name))]
    if tier not in names:
        raise InvalidRequest(f"There is no tier {tier!r}; there are {', '.join(names)}.")


def _check_unused(connection: Connection, name: str) -> None:
    taken = connection.execute(select(USERS.c.id).where(USERS.c.folded == _fold(name))).first()
    owners = connection.execute(select(LEDGER.c.owner).distinct()).scalars()
    if taken is None and _fold(name) in {_fold(owner) for owner in owners}:
        raise InvalidRequest(
            f"Somebody has drawn as {name!r}: their jobs, pictures and ledger are under that name. Choose another one, "
            "or say that the account inherits them (--inherit; inherit: true)."
        )


def _checked(role: Role) -> Role:
    if role not in ROLES:
        raise InvalidRequest(f"There is no role {role!r}; there are {', '.join(ROLES)}.")
    return role


def _keep_an_admin(connection: Connection) -> None:
    """Without an admin nobody could make one again but in the terminal; without any user everybody may."""
    users = connection.execute(select(func.count()).select_from(USERS)).scalar_one()
    admins = select(func.count()).select_from(USERS).where(USERS.c.role == "admin", ~USERS.c.disabled)
    if users and not connection.execute(admins).scalar_one():
        raise InvalidRequest("There would be users and no admin; make an admin first.")


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _user(row: Row[Any]) -> User:
    return User(row.id, row.name, row.role, row.tier, datetime.fromtimestamp(row.created, UTC), row.disabled)


def _token(user: str, row: Any) -> ApiToken:
    created = datetime.fromtimestamp(row["created"], UTC)
    return ApiToken(row["id"], user, row["label"], created, _moment(row["expires"]), _moment(row["used"]))
