"""How a server notices that its supervisor is gone, on every system: a pipe on standard input that closes with it.

The supervisor holds the writing end and never writes. Whatever ends it, kill -9 included, closes the pipe; the server
reads the end of file and stops as if it had been asked to.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

VARIABLE = "ATELIER_LIFELINE"
"""Set by the supervisor for the process it watches."""

GRACE = 20.0
"""Seconds that a server has to stop before it is ended."""


def follow(grace: float = GRACE, stop: Callable[[], None] | None = None) -> bool:
    """Begins to follow the supervisor; False when this process was not started by one.

    When the supervisor is gone, `stop` is called (default: this process gets SIGTERM), and `grace` seconds later the
    process ends in any case. Standard input is replaced by an empty one, so that nobody else reads the pipe.
    """
    if os.environ.pop(VARIABLE, "") != "stdin":
        return False
    pipe = os.dup(0)
    os.set_inheritable(pipe, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_wait, args=(pipe, grace, stop or _terminate), name="lifeline", daemon=True).start()
    return True


def _wait(pipe: int, grace: float, stop: Callable[[], None]) -> None:
    while os.read(pipe, 64):
        pass
    stop()
    time.sleep(grace)
    os._exit(1)


def _terminate() -> None:
    if sys.platform == "win32":
        # os.kill would end the process without running its handlers there.
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
