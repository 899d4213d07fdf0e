"""A private Redis or Valkey server on loopback for the tests that need one, emptied for each of them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

SECONDS = 10.0
"""How long the server may take to answer; it takes a few hundredths of a second."""


class RedisServer:
    """One server, which a test may stop and start again under the same address."""

    def __init__(self, program, folder):
        self._program = program
        self._folder = folder
        self._process = None
        self.port = 0
        self.socket = folder / "socket"

    @property
    def address(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        """Starts at the port of the last time, or at a free one; another process may be quicker to take that."""
        for _ in range(5):
            port = self.port or _free_port()
            command = [self._program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
            command += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--unixsocket", str(self.socket)]
            log = (self._folder / "log").open("ab")
            with log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": os.defpath, "LC_ALL": "C"}
                )
            if self._answers(port):
                self.port = port
                return
            self.stop()
        raise AssertionError((self._folder / "log").read_text())

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait(SECONDS)
            self._process = None

    def _answers(self, port):
        end = time.monotonic() + SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
                    line.sendall(b"PING\r\n")
                    return line.recv(16) == b"+PONG\r\n"
            except OSError:
                time.sleep(0.01)
        return False


def hindrance():
    """Why there can be no server here."""
    if program() is None:
        return "neither Redis nor Valkey is installed (Debian: apt-get install redis-server)"
    if importlib.util.find_spec("redis") is None:
        return "the client library redis is not installed (launch.py --extra redis)"
    return None


def program():
    return shutil.which("redis-server") or shutil.which("valkey-server")


@pytest.fixture(scope="session")
def redis_process():
    """A server that lives as long as the tests of this process; skipped with the reason where there is none."""
    reason = hindrance()
    if reason is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="atelier-redis-", ignore_cleanup_errors=True) as name:
        server = RedisServer(program(), Path(name))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis_server(redis_process):
    """The server, running and empty."""
    import redis

    if redis_process._process is None:
        redis_process.start()
    with redis.Redis.from_url(redis_process.address) as client:
        client.flushall()
    return redis_process


def _free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]
