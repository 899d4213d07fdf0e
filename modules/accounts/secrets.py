"""Passwords and random secrets, and how what is stored tells nothing about them."""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from modules.contracts.errors import InvalidRequest

SHORTEST = 8
LONGEST = 1024
PREFIX = "atl_"
"""Tokens begin with it, so that one that leaked is recognised by whoever finds it."""


@functools.cache
def hasher() -> PasswordHasher:
    """Argon2id (RFC 9106) with the second recommended choice of parameters: 64 MiB, three passes."""
    return PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)


@functools.cache
def _nobody() -> str:
    """The hash that is checked where there is no user, so that the time taken does not tell whether there is one."""
    return hasher().hash(secrets.token_urlsafe())


def hash_password(password: str) -> str:
    """The text to store. Raises `InvalidRequest` for a password that is too short or longer than anybody's."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidRequest(f"A password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}.")
    return hasher().hash(password)


def password_fits(stored: str | None, password: str) -> bool:
    """Whether `password` is the one of the stored hash; None stands for a user that does not exist."""
    if len(password) > LONGEST:
        return False
    try:
        return hasher().verify(stored or _nobody(), password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


class Proven:
    """Remembers which passwords fitted, because old clients send theirs with every request and a check takes long.

    What is remembered is a keyed digest (HMAC) under a key of this process, for the latest passwords only. It counts
    for the stored hash that it was checked against, so a changed password is not taken for the old one.
    """

    def __init__(self, most: int = 256) -> None:
        """At most `most` passwords are remembered."""
        self._key = secrets.token_bytes(32)
        self._most = most
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def fits(self, stored: str | None, password: str) -> bool:
        """As `password_fits`, at once where it was asked before and fitted."""
        mark = hmac.digest(self._key, f"{stored}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
        with self._lock:
            if mark in self._known:
                self._known.move_to_end(mark)
                return True
        if not password_fits(stored, password):
            return False
        with self._lock:
            self._known[mark] = None
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return True


def new_token() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def new_session() -> str:
    """The secret of a session, 256 random bits."""
    return secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """What is stored of a token or session. They are random, so one round of SHA-256 cannot be searched through."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
