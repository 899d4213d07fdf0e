"""`--offline`: after `forbid_network()` this process opens no socket but loopback.

The guard is an audit hook of the interpreter, so it sees every socket of Python code, whichever library opens it, and
cannot be taken off again. Compiled code that opens sockets by itself is not seen: the event loop in C is therefore kept
out, and the hub's downloader in Rust is switched off.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from modules.bootstrap.variables import declare


class OfflineError(PermissionError):
    """A socket to another machine was asked for under --offline. The message names the host."""


_ONCE = threading.Lock()


def forbid_network() -> None:
    """From now on, resolving, connecting, sending or binding to anything but loopback raises `OfflineError`.

    Sockets of the file system (AF_UNIX) stay free. Cannot be undone in this process; calling again changes nothing.
    Child processes of the studio take it over by being given --offline.
    """
    with _ONCE:
        if is_forbidden():
            return
        declare(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_XET="1", TRANSFORMERS_OFFLINE="1")
        # A loop in C resolves and connects unseen; whoever tries to import it takes asyncio's own instead.
        sys.modules["uvloop"] = None  # type: ignore[assignment]
        sys.addaudithook(_Guard())


def is_forbidden() -> bool:
    """Whether `forbid_network` was called in this process."""
    answers: list[bool] = []
    sys.audit(_Guard.QUESTION, answers)
    return bool(answers)


class _Guard:
    """The hook. It runs on every audit event of the process, so the common case is one look into a dictionary."""

    QUESTION = "atelier.offline"

    def __init__(self) -> None:
        self._hosts: dict[str, Callable[[tuple[Any, ...]], object]] = {
            "socket.connect": lambda arguments: _peer(arguments[0], arguments[1]),
            "socket.bind": lambda arguments: _peer(arguments[0], arguments[1]),
            "socket.sendto": lambda arguments: _peer(arguments[0], arguments[1]),
            "socket.sendmsg": lambda arguments: _peer(arguments[0], arguments[1]),
            "socket.getaddrinfo": lambda arguments: arguments[0],
            "socket.gethostbyname": lambda arguments: arguments[0],
            "socket.gethostbyaddr": lambda arguments: arguments[0],
            "socket.getnameinfo": lambda arguments: arguments[0][0],
        }

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == self.QUESTION:
            arguments[0].append(True)
            return
        find = self._hosts.get(event)
        if find is not None and not is_local(host := find(arguments)):
            raise OfflineError(f"--offline allows loopback only, and {event} was called for {host!r}.")


def is_local(host: object) -> bool:
    """Whether a host as given to the socket functions is this machine's loopback. None means a connected socket."""
    if host is None:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    bare = text.partition("%")[0].lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _peer(endpoint: Any, address: Any) -> object:
    """The host in a socket address; None for a socket of the file system or a message on a connected socket."""
    if address is None or endpoint.family == getattr(socket, "AF_UNIX", None):
        return None
    return address[0] if isinstance(address, tuple) and address else address
