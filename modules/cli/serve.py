"""`serve`: the page and the API in this process, under the eye of launch.py."""

from __future__ import annotations

import socket
import sys

from modules.bootstrap import lifeline
from modules.bootstrap.flags import Command
from modules.bootstrap.options import NetworkOptions

CONFIGURATION_ERROR = 78
"""EX_CONFIG: says to the supervisor that another start would end the same way."""


def run(command: Command) -> int:
    """Serves until it is asked to stop. 78 when the port cannot be had, else what the server returns."""
    lifeline.follow()
    problem = port_problem(command.options.network)
    if problem:
        sys.stderr.write(f"{problem}\n")
        return CONFIGURATION_ERROR
    from modules.app import serve

    return serve(command.options)


def port_problem(network: NetworkOptions) -> str | None:
    """One sentence when the address cannot be listened on; None when it can, or when only the server will know."""
    host, port = network.host.strip("[]"), network.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        if sys.platform != "win32":
            # Without it, connections of a server that has just ended would make the port look taken.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            return f"Cannot listen on {host}, port {port}: {reason}. Another port can be chosen with --port."
    return None
