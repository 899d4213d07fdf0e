"""--offline, tried from the outside: each line runs in a process of its own, because the guard cannot be taken off."""

import os
import subprocess
import sys

import pytest

from modules.bootstrap.options import ROOT
from modules.support.offline import is_local

PREPARE = """
import asyncio, socket, sys, urllib.request
from modules.support.offline import OfflineError, forbid_network, is_forbidden
forbid_network()
forbid_network()
pair = socket.socketpair()
server = socket.create_server(("127.0.0.1", 0))
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
async def stream(host, port):
    (await asyncio.open_connection(host, port))[1].close()
def loop_of_uvicorn():
    from uvicorn import Config
    return Config(None).get_loop_factory().__module__
"""


def run(line: str) -> str:
    code = (
        f"{PREPARE}\ntry:\n    print(repr({line}))\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-P", "-c", code], env=variables, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


@pytest.mark.parametrize(
    "line",
    [
        "socket.create_connection(('203.0.113.9', 80), 5)",
        "socket.socket().connect(('203.0.113.9', 80))",
        "socket.socket().connect_ex(('203.0.113.9', 80))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::203.0.113.9', 80))",
        "datagram.sendto(b'x', ('203.0.113.9', 53))",
        "datagram.sendmsg([b'x'], [], 0, ('203.0.113.9', 53))",
        "datagram.connect(('203.0.113.9', 53))",
        "socket.getaddrinfo('203.0.113.9', 80)",
        "socket.gethostbyname('203.0.113.9')",
        "socket.gethostbyaddr('203.0.113.9')",
        "socket.getnameinfo(('203.0.113.9', 80), 0)",
        "asyncio.run(stream('203.0.113.9', 80))",
        "__import__('uvloop').run(stream('203.0.113.9', 80))",
        "urllib.request.urlopen('http://203.0.113.9/')",
        "__import__('httpx').get('http://203.0.113.9/')",
    ],
)
def test_nothing_leaves_the_machine(line):
    said = run(line)
    assert "--offline allows loopback only" in said or "import of uvloop halted" in said, said


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_nobody_is_let_in(host):
    assert "--offline allows loopback only, and socket.bind was called" in run(f"socket.socket().bind(('{host}', 0))")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("is_forbidden()", "True"),
        ("pair[0].send(b'abc')", "3"),
        ("socket.create_connection(server.getsockname()).getpeername()[0]", "'127.0.0.1'"),
        ("socket.getaddrinfo('localhost', 80, socket.AF_INET)[0][4]", "('127.0.0.1', 80)"),
        ("socket.getaddrinfo(None, 80, socket.AF_INET)[0][4]", "('127.0.0.1', 80)"),
        ("__import__('os').environ['HF_HUB_OFFLINE']", "'1'"),
    ],
)
def test_the_machine_itself_stays_reachable(line, answer):
    assert run(line) == answer


def test_the_server_s_loop_is_one_that_the_guard_sees():
    assert "uvloop" not in run("loop_of_uvicorn()")


def test_an_import_does_not_forbid_anything():
    from modules.support.offline import is_forbidden

    assert not is_forbidden()


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        (b"localhost", True),
        ("LOCALHOST", True),
        ("::ffff:192.0.2.1", False),
        ("localhost.example.org", False),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(host, local):
    assert is_local(host) is local
