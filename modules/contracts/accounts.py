"""Who may do what, and how much of it: users, roles, tiers, credits. `modules.accounts` keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

Role = Literal["admin", "user", "guest"]
"""An admin sees and changes everything; a user has jobs, pictures, tokens and settings of their own.

A guest draws, and sees and stops what was drawn under that name, which several people may share: nothing that lasts is
theirs to change, neither settings, tokens and password, nor pictures that are finished.
"""

ROLES: tuple[Role, ...] = ("admin", "user", "guest")
SESSION_COOKIE = "atelier_session"
"""Under which a browser keeps its session's secret, for API and page alike."""
Means = Literal["local", "password", "token", "session"]


@dataclass(frozen=True, slots=True)
class Tier:
    """What somebody may use. None does not limit; no model patterns allow every model."""

    name: str
    credits_per_day: float | None = None
    """Days and months are those of UTC. One credit is one megapixel-step."""
    credits_per_month: float | None = None
    pictures_per_minute: int | None = None
    max_pixels: int | None = None
    """Of one picture, after a hires pass."""
    max_steps: int | None = None
    queue_depth: int | None = None
    """Jobs that wait or run at the same time."""
    models: tuple[str, ...] = ()
    """Shell patterns of model names."""
    weight: float = 1.0
    """The owner's part of the lanes while others wait too."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account."""

    id: str
    name: str
    """Unique without regard to case; owner of jobs and pictures."""
    role: Role
    tier: str
    created: datetime
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A key for a program. Its text is known to its owner only."""

    id: str
    user: str
    """Name of the user."""
    label: str
    created: datetime
    expires: datetime | None = None
    used: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a request."""

    name: str
    role: Role
    means: Means
    """How they showed who they are; `local` where nobody has to."""

    @property
    def is_admin(self) -> bool:
        """May see and change what belongs to others."""
        return self.role == "admin"

    @property
    def is_guest(self) -> bool:
        """May draw, and change nothing that lasts."""
        return self.role == "guest"

    def may_touch(self, owner: str) -> bool:
        """Whether what belongs to `owner` is the caller's to see and change."""
        return self.is_admin or self.name == owner


LOCAL = Caller("local", "admin", "local")
"""Everybody, as long as nobody has to sign in, and the owner of everything that was made meanwhile."""
TERMINAL = "cli"
"""The owner of what commands of the terminal draw."""
RESERVED = frozenset({LOCAL.name, TERMINAL})
"""Owners that are nobody's account: one of such a name would be handed what the studio itself has drawn under it."""
NOT_FOR_GUESTS = "A guest may draw and look, and change nothing that lasts."


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the account book. Lines are added, never changed."""

    number: int
    owner: str
    moment: datetime
    kind: Literal["charge", "refund", "grant"]
    credits: float
    """Negative for a charge, positive for what comes back or is given."""
    job_id: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What somebody has left. None is without limit."""

    tier: Tier
    used_today: float
    used_this_month: float
    left_today: float | None
    left_this_month: float | None
    """Grants of the month included."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a job would use, as far as limits are concerned."""

    credits: float
    """Megapixel-steps over all pictures."""
    pictures: int
    """1 or more."""
    pixels: int
    """Of the largest picture."""
    steps: int
    """Of the longer of its passes."""
    models: tuple[str, ...]
    """Names of the checkpoints that it draws with; empty for a job that needs none."""
    script: str = ""
    """The script that decides what the job draws; empty where the request says it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came with a request."""

    authorization: str = ""
    """The Authorization header: Basic (RFC 7617) or Bearer (RFC 6750)."""
    session: str = ""
    """The session's secret from the cookie."""
    address: str = ""
    """Where the request comes from; wrong passwords are counted by it."""

    @classmethod
    def of(cls, connection: Connection) -> Proof:
        """What a request or WebSocket brought."""
        address = connection.client.host if connection.client else ""
        header = connection.headers.get("authorization", "")
        return cls(header, connection.cookies.get(SESSION_COOKIE, ""), address)


class Connection(Protocol):
    """A request or WebSocket, as far as it says who it is from; Starlette's are."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, in small letters."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """By name."""

    @property
    def client(self) -> Any:
        """Has the address as `host`; None where there is none."""


class Doorkeeper(Protocol):
    """Finds out who is calling, for API and page alike."""

    @property
    def open(self) -> bool:
        """Nobody has to say who they are."""

    def identify(self, proof: Proof) -> Caller | None:
        """Who that is; None for a stranger. Raises `OverLimit` after too many wrong passwords from one address.

        Raises `NotReady` for a password while the place that counts the wrong ones does not answer.
        """

    def check(self, name: str, password: str, address: str = "") -> Caller | None:
        """Who has that name and password. Raises `OverLimit` as above."""

    def sign_in(self, caller: Caller) -> str:
        """A session's secret, for the cookie."""

    def sign_out(self, session: str) -> None:
        """End that session."""


class Gate(Protocol):
    """What the queue asks before it stores a job and tells when one has ended."""

    def admit(self, owner: str, wish: Wish, job_id: str, pending: int) -> Tier:
        """Charge `owner` for the job, who has `pending` others that wait or run; gives the owner's tier.

        Asked again for the same job: nothing is charged.

        Raises `InvalidRequest` for what the tier never allows, `OverLimit` for what it does not allow now, `NotReady`
        where pictures a minute are limited and the place that counts them does not answer; nothing is charged then.
        """

    def check(self, owner: str, wish: Wish, pending: int) -> None:
        """Raise what `admit` would raise now for such a job, without charging or counting anything.

        Whoever has no credits left is refused even where the wish costs next to nothing.
        """

    def settle(self, job_id: str, made: int) -> None:
        """The job has ended with so many pictures: give back what the missing ones cost. Once is enough."""

    def open_charges(self) -> Sequence[str]:
        """Jobs that were charged and that nobody has settled."""


class Accounts(Protocol):
    """Users and their keys."""

    @property
    def open(self) -> bool:
        """There are no accounts, so that everybody on this machine is the admin `local`."""

    def by_password(self, name: str, password: str) -> Caller | None:
        """Who has that name and password; None, after the same time, when nobody does."""

    def by_token(self, text: str) -> Caller | None:
        """Whose token that is, unless it has expired."""

    def by_session(self, text: str) -> Caller | None:
        """Who signed in and was given that session, unless it has ended."""

    def sign_in(self, caller: Caller) -> str:
        """A new session's secret text, for a cookie."""

    def sign_out(self, text: str) -> None:
        """End that session."""

    def end_sessions(self, name: str) -> int:
        """Sign that user out everywhere; how many sessions that were. Raises `InvalidRequest` for an unknown user."""

    def add_user(
        self, name: str, password: str, *, role: Role = "user", tier: str | None = None, inherit: bool = False
    ) -> User:
        """Without a tier it is that of the role. Raises `InvalidRequest` for a name that is taken or odd, a short
        password, an unknown tier; and without `inherit` for a name under which somebody has drawn, because jobs,
        pictures and ledger would be the new account's."""

    def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        role: Role | None = None,
        tier: str | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Changes what is given. A new password and `disabled` end all sessions; tokens of a disabled user rest.

        Raises `InvalidRequest` for an unknown user and when no admin would be left.
        """

    def remove_user(self, name: str) -> bool:
        """Account, tokens and sessions go; jobs, pictures and ledger stay under the name. False when there is none."""

    def users(self) -> Sequence[User]:
        """By name."""

    def user(self, name: str) -> User | None:
        """The account of that name."""

    def add_token(self, user: str, label: str, *, days: float | None = None) -> tuple[ApiToken, str]:
        """A new token and its text, which nobody can learn later. Raises `InvalidRequest` for an unknown user."""

    def tokens(self, user: str) -> Sequence[ApiToken]:
        """Oldest first."""

    def remove_token(self, token_id: str, user: str | None = None) -> bool:
        """False when there is none of that id, or it belongs to another user than the one named."""

    def tiers(self) -> Sequence[Tier]:
        """By name."""

    def set_tier(self, tier: Tier) -> None:
        """Add or replace. Raises `InvalidRequest` for values that cannot be."""

    def remove_tier(self, name: str) -> bool:
        """False when there is none. Raises `InvalidRequest` while somebody has it, and for those of the roles."""

    def set_weight(self, owner: str, weight: float | None) -> Tier:
        """Give `owner` a part of the lanes of their own in place of their tier's; None gives the tier's back.

        Lasts until it is changed again. Gives the owner's tier with the weight that holds now. Raises `InvalidRequest`
        unless it is above 0.
        """

    def preferences(self, owner: str) -> Mapping[str, Any]:
        """What that user has set for themselves; nothing for an admin, whose changes are everybody's."""

    def set_preferences(self, owner: str, changes: Mapping[str, Any]) -> None:
        """Keep what a user has set, all or none; None takes one back. Raises `InvalidRequest` for an unknown user."""

    def allowance(self, owner: str) -> Allowance:
        """What is left for whoever has that name; an owner without account has the tier without limits."""

    def left_this_minute(self, owner: str) -> int | None:
        """Pictures that the tier allows now; None is without limit. Raises `NotReady` where nobody counts."""

    def grant(self, owner: str, credits: float, note: str) -> LedgerEntry:
        """Give credits beyond the tier's, for this day and this month; negative takes them back."""

    def ledger(self, owner: str | None = None, *, limit: int = 100, after: int | None = None) -> Sequence[LedgerEntry]:
        """Newest first; `after` is the number of a line, behind which the list goes on."""

    def ledger_length(self, owner: str | None = None) -> int:
        """How many lines there are."""
