"""The one place that finds out who is calling, for every way of proving it: password, token, session, or nothing.

Three kinds of people come in: whoever sits at this machine as long as there are no accounts and no `--api-auth`; the
names of `--api-auth`, which whoever started the studio has chosen and who are admins; and accounts.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from modules.accounts import secrets
from modules.accounts.counters.memory import MemoryCounters
from modules.accounts.people import SESSION_SECONDS
from modules.contracts.accounts import LOCAL, Accounts, Caller, Proof
from modules.contracts.counters import Counters, Limit
from modules.contracts.errors import OverLimit

WRONG = Limit(10, 300.0)
"""Wrong passwords from one address after which it has to wait. A right one does not wipe them out: somebody with an
account could guess those of others for ever."""
MOST_SESSIONS = 1024


class Door:
    """Says who is calling. Safe from several threads."""

    def __init__(
        self,
        accounts: Accounts,
        pairs: Sequence[tuple[str, str]] = (),
        clock: Callable[[], float] = time.time,
        counters: Counters | None = None,
    ) -> None:
        """`pairs` are names and passwords of `--api-auth`; `clock` gives seconds.

        Without `counters` wrong passwords are counted in memory.
        """
        self._accounts = accounts
        self._pairs = tuple(pairs)
        self._clock = clock
        self._counters = counters or MemoryCounters()
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    @property
    def open(self) -> bool:
        """Nobody has to say who they are."""
        return not self._pairs and self._accounts.open

    def identify(self, proof: Proof) -> Caller | None:
        """Who that is; None for a stranger. An Authorization header goes before a session.

        While the door is open everybody is `local`, whatever they bring. Raises `OverLimit` after too many wrong
        passwords from one address, and `NotReady` for a password while nobody can count the wrong ones.
        """
        if self.open:
            return LOCAL
        scheme, _, rest = proof.authorization.strip().partition(" ")
        if scheme.lower() == "bearer":
            return self._accounts.by_token(rest.strip())
        if scheme.lower() == "basic":
            given = _credentials(rest.strip())
            return None if given is None else self.check(*given, proof.address)
        return self._by_session(proof.session) if proof.session else None

    def check(self, name: str, password: str, address: str = "") -> Caller | None:
        """Who has that name and password. Raises as `identify` does."""
        key = f"wrong:{_network(address)}"
        if address:
            self._slow_down(key)
        caller = self._by_pair(name, password) or self._accounts.by_password(name, password)
        if address and caller is None:
            self._counters.take(key, 1, WRONG)
        return caller

    def sign_in(self, caller: Caller) -> str:
        """A session's secret for the cookie. Those of `--api-auth` last until the studio stops."""
        if self._accounts.user(caller.name) is not None:
            return self._accounts.sign_in(caller)
        text = secrets.new_session()
        with self._lock:
            session = Caller(caller.name, caller.role, "session")
            self._sessions[secrets.digest(text)] = (session, self._clock() + SESSION_SECONDS)
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return text

    def sign_out(self, session: str) -> None:
        """End that session."""
        with self._lock:
            self._sessions.pop(secrets.digest(session), None)
        self._accounts.sign_out(session)

    def _by_session(self, session: str) -> Caller | None:
        with self._lock:
            caller, ends = self._sessions.get(secrets.digest(session), (None, 0.0))
        if caller is not None and ends > self._clock():
            return caller
        return self._accounts.by_session(session)

    def _by_pair(self, name: str, password: str) -> Caller | None:
        found = None
        for user, secret in self._pairs:
            # Every pair is compared to its end, so that the time taken tells nothing about which part was right.
            if _same(name, user) & _same(password, secret):
                found = Caller(user, "admin", "password")
        return found

    def _slow_down(self, key: str) -> None:
        count = self._counters.look(key, 1, WRONG)
        if count.wait > 0:
            raise OverLimit(
                f"{count.used} wrong passwords came from there; try again in {count.wait:.0f} s.",
                retry_after=count.wait,
            )


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), known.encode("utf-8", "surrogatepass"))


def _credentials(text: str) -> tuple[str, str] | None:
    """Name and password of a Basic header; None when it is something else."""
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _network(address: str) -> str:
    """Where somebody calls from, as far as they cannot choose it: of an IPv6 address the first half (RFC 4291)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return address
    mapped = found.ipv4_mapped
    return str(mapped or ipaddress.ip_network((found, 64), strict=False).network_address)
