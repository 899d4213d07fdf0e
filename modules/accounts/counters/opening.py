"""Opens the counters that the command line names."""

from __future__ import annotations

import importlib.util
import logging
from urllib.parse import SplitResult, urlsplit

from modules.accounts.counters.memory import MemoryCounters
from modules.contracts.counters import Counters
from modules.contracts.errors import DeviceUnavailable, InvalidRequest, NotReady

log = logging.getLogger(__name__)
SECONDS = 1.0
"""How long a connection or an answer is waited for; both take well under a millisecond on the same network."""
KINDS = {"valkey": "redis", "valkeys": "rediss"}
"""Schemes of Valkey, and what they are called by the client library."""


def open_counters(address: str | None) -> Counters:
    """Counters in memory, or those of the server at `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`.

    A server that does not answer yet is no reason not to start: what needs no counter works, and the rest says so
    until it answers. Raises `InvalidRequest` for an address that cannot be and `DeviceUnavailable` without the client
    library.
    """
    if address is None:
        return MemoryCounters()
    if importlib.util.find_spec("redis") is None:
        raise DeviceUnavailable("Counters in Redis need the extra 'redis'; start once with --extra redis.")
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from modules.accounts.counters.redis import RedisCounters

    scheme, mark, rest = address.partition("://")
    try:
        parts = urlsplit(address)
        _check(parts)
        client = Redis.from_url(
            f"{KINDS.get(scheme, scheme)}{mark}{rest}",
            socket_connect_timeout=SECONDS,
            socket_timeout=SECONDS,
            retry=Retry(NoBackoff(), 1),  # once, for a connection that a restart of the server has cut
        )
        counters = RedisCounters(client, f"{parts.hostname or parts.path}:{parts.port or 6379}")
    except ValueError as error:  # its message may repeat the address, which may hold a password
        raise InvalidRequest("The address of the counters is not of the form redis://HOST:PORT/NUMBER.") from error
    try:
        counters.probe()
    except NotReady as error:
        log.warning("%s Until then nobody with a limit a minute can draw, and nobody signs in.", error.message)
    return counters


def _check(parts: SplitResult) -> None:
    """Raises `ValueError` for what the client library would read as something else: it takes database 0 then."""
    if parts.scheme == "unix":
        return
    number = parts.path.strip("/")
    if not parts.hostname or (number and not number.isdecimal()):
        raise ValueError(parts.path)
