"""Keeps the server running: starts it, starts it again when it dies, stops it cleanly when asked to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from modules.bootstrap import lifeline
from modules.bootstrap.environment import Say

FINAL = frozenset({0, 2, 78})
"""Exit codes after which a new start would change nothing: done, wrong usage, wrong configuration (EX_CONFIG)."""

RESTART = 75
"""Exit code of a server that was asked to start again (EX_TEMPFAIL); that is no failure, so there is no pause."""

POLL = 0.1
"""Seconds between looks at the child and at what was asked of us."""

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


@dataclass(frozen=True)
class Backoff:
    """Pauses before a new start, in seconds: doubling from `first` to `largest`, from the beginning after `healthy`."""

    first: float = 0.5
    largest: float = 30.0
    healthy: float = 60.0

    def after(self, previous: float, uptime: float) -> float:
        """The pause after a process that ran `uptime` seconds and was started after a pause of `previous` (or 0)."""
        if previous <= 0 or uptime >= self.healthy:
            return self.first
        return min(previous * 2, self.largest)


@dataclass
class Supervisor:
    """Runs one command for as long as it should run. Must be used in the main thread, which owns the signals."""

    command: Sequence[str]
    environment: Mapping[str, str]
    say: Say
    backoff: Backoff = Backoff()
    grace: float = lifeline.GRACE
    clock: Callable[[], float] = time.monotonic
    _asked: int | None = field(default=None, init=False)
    _urgent: bool = field(default=False, init=False)

    def run(self) -> int:
        """Returns the exit code to end with.

        The server's own code when it ended by itself with one of FINAL. When a signal asked for the end: 0 if the
        server then ended cleanly, 128 + the signal's number if it did not.
        """
        with self._signals():
            pause = 0.0
            while True:
                started = self.clock()
                with self._child() as child:
                    code = self._watch(child)
                if self._asked is not None:
                    return 0 if code in (0, -signal.SIGTERM) else 128 + self._asked
                if code in FINAL:
                    return code
                if code == RESTART:
                    self.say("Starting the server again, as it was asked for")
                    continue
                pause = self.backoff.after(pause, self.clock() - started)
                self.say(f"The server ended unexpectedly ({describe(code)}); starting it again in {pause:g} s")
                if not self._sleep(pause):
                    return 0

    def _watch(self, child: subprocess.Popen[bytes]) -> int:
        while self._asked is None:
            code = child.poll()
            if code is not None:
                return code
            time.sleep(POLL)
        self.say("Stopping; Ctrl-C again ends it at once" if self._asked == signal.SIGINT else "Stopping")
        return self._stop(child)

    def _stop(self, child: subprocess.Popen[bytes]) -> int:
        if sys.platform != "win32":
            child.terminate()
        if child.stdin is not None:
            # Windows has no polite signal for this; the closed lifeline says the same on every system.
            child.stdin.close()
        end = self.clock() + self.grace
        while self.clock() < end and not self._urgent:
            code = child.poll()
            if code is not None:
                return code
            time.sleep(POLL)
        self.say("Ending it at once" if self._urgent else f"The server did not stop within {self.grace:g} s; ending it")
        self._kill(child)
        return child.wait()

    def _sleep(self, seconds: float) -> bool:
        """Waits; False as soon as the end is asked for."""
        end = self.clock() + seconds
        while self._asked is None and self.clock() < end:
            time.sleep(min(POLL, seconds))
        return self._asked is None

    @contextlib.contextmanager
    def _child(self) -> Iterator[subprocess.Popen[bytes]]:
        # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which passes it on once.
        variables = {**self.environment, lifeline.VARIABLE: "stdin"}
        child = subprocess.Popen(
            self.command,
            env=variables,
            stdin=subprocess.PIPE,
            process_group=None if sys.platform == "win32" else 0,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            yield child
        finally:
            if child.poll() is None:
                self._kill(child)
                child.wait()
            if child.stdin is not None:
                child.stdin.close()

    @staticmethod
    def _kill(child: subprocess.Popen[bytes]) -> None:
        if sys.platform == "win32":
            child.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._ask) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        # Ctrl-C a second time is a person who does not want to wait.
        self._urgent = self._urgent or (number == self._asked == signal.SIGINT)
        self._asked = self._asked or number


def describe(code: int) -> str:
    """An exit code in words: `exit code 3`, or `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
