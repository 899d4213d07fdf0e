"""A real server process for end-to-end tests: `python launch.py` on a free port with a data folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


class Server:
    """The process, its address, and its log."""

    def __init__(self, data: Path, *flags: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"server-{self.port}.log"
        command = [sys.executable, "launch.py", "--port", str(self.port), "--data-dir", str(data), *flags]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)

    def wait_ready(self, seconds: float = 180) -> None:
        """Until a picture can be drawn; fails with the log."""
        self._wait_for("/readyz", seconds)

    def wait_up(self, seconds: float = 60) -> None:
        """Until the port answers; fails with the log."""
        self._wait_for("/healthz", seconds)

    def _wait_for(self, path: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.url + path, timeout=10).is_success:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"{path} did not succeed:\n{self.log.read_text('utf-8', 'replace')[-4000:]}")

    def worker(self) -> psutil.Process:
        """The process that serves, below the supervisor."""
        found = [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if "modules.cli" in " ".join(child.cmdline())
        ]
        return found[0]

    def stop(self) -> int:
        """SIGTERM, as a service manager would; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def running(data: Path, *flags: str) -> Iterator[Server]:
    """A server that can draw, stopped at the end of the block."""
    server = Server(data, *flags)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
