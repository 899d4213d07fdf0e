"""`serve`: the page and the API in this process, under the eye of launch.py."""

from __future__ import annotations

import signal
import socket
import sys
from types import FrameType

from modules.bootstrap import lifeline
from modules.bootstrap.flags import Command
from modules.bootstrap.options import NetworkOptions
from modules.bootstrap.supervision import STOP_SIGNALS

CONFIGURATION_ERROR = 78
"""EX_CONFIG: says to the supervisor that another start would end the same way."""


def run(command: Command) -> int:
    """Serves until it is asked to stop. 78 when the port cannot be had, else what the server returns."""
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    supervised = lifeline.follow()
    problem = port_problem(command.options.network)
    if problem:
        sys.stderr.write(f"{problem}\n")
        return CONFIGURATION_ERROR
    from modules.app import serve

    return serve(command.options, supervised=supervised)


def _stop(number: int, frame: FrameType | None) -> None:
    """What a signal does while uvicorn does not handle it: it ends the process, except when it has done its work.

    uvicorn raises the signal again once it has shut down. By default that would end the process there and then, before
    running jobs are put back into the queue and the models are released.
    """
    if frame is None or frame.f_code.co_name != "capture_signals":
        raise SystemExit(0)


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
