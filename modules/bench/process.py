"""A server as a person starts it: `launch.py` in a process of its own, with a data folder that goes when it ends."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from modules.bootstrap.options import Options
from modules.contracts.errors import NotReady
from modules.support.paths import ROOT

PATIENCE_SECONDS = 240.0
STOP_SECONDS = 60.0


class ServerProcess:
    """The supervisor, the address that its server answers at, and the log of both."""

    def __init__(self, options: Options, data: Path, *flags: str) -> None:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            port = int(door.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self.log = data.with_suffix(".log")
        models = str(options.paths.models_dir)
        command = [sys.executable, "launch.py", "--port", str(port), "--data-dir", str(data), "--models-dir", models]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *flags], cwd=ROOT, stdout=log, stderr=log)

    def wait_ready(self, seconds: float = PATIENCE_SECONDS) -> float:
        """Seconds until a picture can be drawn. Raises `NotReady` with the end of the log."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=10).is_success:
                    return time.monotonic() - begun
            time.sleep(0.1)
        raise NotReady(f"The server did not become ready: {self.log.read_text('utf-8', 'replace')[-2000:]}")

    def worker(self) -> psutil.Process | None:
        """The process that serves, below the supervisor; None while it is started anew."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "modules.cli" in child.cmdline():
                        return child
        return None

    def stop(self) -> int:
        """Ask it to end, as a service manager would; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextlib.contextmanager
def served(options: Options, data: Path, *flags: str) -> Iterator[ServerProcess]:
    """A server that can draw, ended with the block."""
    server = ServerProcess(options, data, *flags)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
