"""Fetches what an address in a request names, and nothing that is not the open internet's.

The holes that others left open here: an address was checked and then resolved a second time; a redirect was followed
unchecked; a name of the own network was told from one that is not there by the error. So the name is resolved once for
each hop, every address that it has must be public, the connection goes to one of those very addresses and the peer of
the connected socket is looked at again, while certificate and SNI are of the name. Whatever fails, the error is one and
the same; the log of the studio says more.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from modules.contracts.errors import InvalidRequest
from modules.support.addresses import is_public
from modules.support.offline import is_forbidden

log = logging.getLogger(__name__)
PORT = 443
LONGEST = 2048
"""Characters of an address."""
MOVED = frozenset({301, 302, 303, 307, 308})
BLOCK = 64 * 1024
FAILED = "No picture could be fetched from that address."


class FetchFailed(InvalidRequest):
    """Nothing came of it. Says the same whatever the reason was, so that nobody learns what is behind an address."""

    kind = "fetch_failed"

    def __init__(self, message: str = FAILED) -> None:
        super().__init__(message)


class _Refused(Exception):
    """Why, for the log of the studio."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much one fetch may take."""

    size: int = 32 * 1024 * 1024
    """Bytes."""
    seconds: float = 15.0
    """Over all hops, resolving included."""
    redirects: int = 3


def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of a name, as the system says. Raises `OSError`."""
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]


def connect(address: str, port: int, seconds: float) -> socket.socket:
    """A connected socket whose peer is public. Raises `OSError`, also when the peer is not."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect((address, port))
        peer = str(connection.getpeername()[0])
        if not is_public(peer):
            raise ConnectionRefusedError(f"the peer is {peer}")
    except BaseException:
        connection.close()
        raise
    return connection


class Fetcher:
    """Safe from several threads. Each fetch stands for itself: no connection, cookie or answer is kept."""

    def __init__(
        self,
        limits: FetchLimits | None = None,
        *,
        resolve: Callable[[str, int], Sequence[str]] = resolve,
        connect: Callable[[str, int, float], socket.socket] = connect,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        port: int = PORT,
    ) -> None:
        """What leads to the network can be given for tests."""
        self._limits = limits or FetchLimits()
        self._resolve, self._connect, self._context = resolve, connect, context
        self._port = port

    def fetch(self, address: str, seconds: float | None = None) -> bytes:
        """The body of what is there, at most `FetchLimits.size` bytes of it, within `seconds` if that is less.

        Blocks. Raises `FetchFailed` whatever goes wrong on the way, and `InvalidRequest` under --offline.
        """
        if is_forbidden():
            raise InvalidRequest("The studio runs with --offline and fetches nothing; send the picture itself.")
        allowed = min(self._limits.seconds, seconds if seconds is not None else self._limits.seconds)
        deadline = time.monotonic() + allowed
        try:
            return self._follow(address, deadline)
        except (_Refused, OSError, ValueError, http.client.HTTPException) as error:
            # The name of the host and not the address: what stands behind it may be a secret.
            log.info("fetching from %s failed: %s: %s", _host_for_log(address), type(error).__name__, error)
            raise FetchFailed from None

    def _follow(self, address: str, deadline: float) -> bytes:
        for _ in range(self._limits.redirects + 1):
            found = self._ask(self._check(address), deadline)
            if isinstance(found, bytes):
                return found
            address = urljoin(address, found)
        raise _Refused(f"more than {self._limits.redirects} redirects")

    def _check(self, address: str) -> SplitResult:
        """The parts of an https address with a name and nothing else before the path."""
        if len(address) > LONGEST or not address.isascii() or any(mark <= " " or mark in "\\\x7f" for mark in address):
            raise _Refused("an address that is too long or holds odd characters")
        parts = urlsplit(address)
        if parts.scheme != "https":
            raise _Refused(f"the scheme is {parts.scheme!r}; only https is fetched")
        if not parts.hostname or "@" in parts.netloc:
            raise _Refused("no host, or a password")
        if (parts.port or PORT) not in (PORT, self._port):
            raise _Refused(f"port {parts.port}")
        return parts

    def _ask(self, parts: SplitResult, deadline: float) -> bytes | str:
        """The body, or where it is said to be instead."""
        host, port = str(parts.hostname), parts.port or PORT
        addresses = self._addresses(host, port, deadline)
        with contextlib.ExitStack() as stack:
            plain = self._reach(addresses, port, deadline)
            stack.callback(plain.close)
            stack.enter_context(_cut_off(plain, deadline))
            secure = self._context().wrap_socket(plain, server_hostname=host)
            stack.callback(secure.close)
            connection = http.client.HTTPSConnection(host, port)
            connection.sock = secure
            path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            headers = {
                "Accept": "image/*",
                "Accept-Encoding": "identity",
                "User-Agent": "atelier",
                "Connection": "close",
            }
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            stack.callback(response.close)
            return self._read(response, deadline)

    def _addresses(self, host: str, port: int, deadline: float) -> list[str]:
        """The public addresses of a name. One that has others too is refused: the next answer may be those."""
        found = list(dict.fromkeys(_in_time(lambda: self._resolve(host, port), deadline)))
        inner = [address for address in found if not is_public(address)]
        if inner or not found:
            raise _Refused(f"it leads to {', '.join(inner) or 'nowhere'}")
        return found

    def _reach(self, addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
        problem: OSError = TimeoutError("out of time")
        for address in addresses:
            try:
                return self._connect(address, port, _left(deadline))
            except OSError as error:
                problem = error
        raise problem

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes | str:
        if response.status in MOVED:
            return response.getheader("Location") or ""
        if response.status != http.client.OK:
            raise _Refused(f"status {response.status}")
        if (response.getheader("Content-Encoding") or "identity").lower() != "identity":
            raise _Refused("packed content, which may unfold to anything")
        length = response.getheader("Content-Length")
        if length is not None and length.isdecimal() and int(length) > self._limits.size:
            raise _Refused(f"{length} bytes")
        body = bytearray()
        while block := response.read(BLOCK):
            _left(deadline)
            body += block
            if len(body) > self._limits.size:
                raise _Refused(f"more than {self._limits.size} bytes")
        _left(deadline)
        if length is not None and length != str(len(body)):
            raise _Refused(f"{len(body)} bytes of {length}")
        return bytes(body)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("out of time")
    return left


def _in_time(action: Callable[[], Sequence[str]], deadline: float) -> Sequence[str]:
    """What `action` gives, unless time runs out first: the system's resolver cannot be interrupted, only left."""
    answers: queue.SimpleQueue[Sequence[str] | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(action())
        except (OSError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=_left(deadline))
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


@contextlib.contextmanager
def _cut_off(connection: socket.socket, deadline: float) -> Iterator[None]:
    """Shuts the connection when time is up: a server that drips byte by byte never runs into a socket's timeout.

    What goes on in the block may have taken the socket over; a descriptor of its own reaches the same connection.
    """
    handle = connection.dup()
    ended = threading.Event()

    def watch() -> None:
        if not ended.wait(max(deadline - time.monotonic(), 0)):
            with contextlib.suppress(OSError):  # it has ended by itself
                handle.shutdown(socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, name="fetch-deadline", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        handle.close()


def _host_for_log(address: str) -> str:
    try:
        return repr((urlsplit(address).hostname or "")[:100])
    except ValueError:
        return "an address that is none"
