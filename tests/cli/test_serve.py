"""`serve` before the server: the port that cannot be had, and the order of what happens."""

import os
import signal
import socket
import subprocess
import sys
import types

import pytest

from modules.bootstrap import flags
from modules.bootstrap.options import ROOT, NetworkOptions
from modules.cli import dispatch, serve
from modules.contracts.errors import InvalidRequest

STAND_IN = """
import asyncio, sys, types
from modules.bootstrap import flags
from modules.cli import serve

async def answer(scope, receive, send):
    pass

async def run(early):
    print("begun", flush=True)
    if early:
        await asyncio.sleep(60)
    import uvicorn
    server = uvicorn.Server(uvicorn.Config(answer, port=0, lifespan="off", log_config=None))
    asyncio.get_running_loop().call_later(0.1, lambda: print("serving", flush=True))
    await server.serve()
    print("closed", flush=True)
    return 0

early = sys.argv[1] == "early"
sys.modules["modules.app"] = types.SimpleNamespace(serve=lambda options, supervised: asyncio.run(run(early)))
sys.exit(serve.run(flags.parse(["--port", "0"])))
"""


@pytest.fixture(autouse=True)
def signals():
    """Gives the test run its own handlers back."""
    before = {number: signal.getsignal(number) for number in serve.STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_a_configuration_error(taken, capsys):
    assert serve.run(flags.parse(["--port", str(taken)])) == serve.CONFIGURATION_ERROR
    said = capsys.readouterr().err
    assert f"Cannot listen on 127.0.0.1, port {taken}: Address already in use" in said
    assert "--port" in said


def test_a_free_port_is_no_problem():
    assert serve.port_problem(NetworkOptions(port=0)) is None


def test_the_options_reach_the_server(monkeypatch):
    seen = []
    stand_in = types.SimpleNamespace(serve=lambda options, supervised: seen.append(options) or 5)
    monkeypatch.setitem(sys.modules, "modules.app", stand_in)
    command = flags.parse(["--port", "0", "--lanes", "2"])
    assert serve.run(command) == 5
    assert seen == [command.options]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX are sent here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["early", "late"])
def test_a_signal_lets_the_studio_close_once_it_serves_and_ends_it_at_once_before(number, moment):
    line = [sys.executable, "-P", "-c", STAND_IN, moment]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        if moment == "late":
            assert process.stdout.readline() == "serving\n"
        process.send_signal(number)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert said == ("closed\n" if moment == "late" else "")


def test_errors_of_the_studio_become_one_sentence(monkeypatch, capsys):
    def fail(command):
        raise InvalidRequest("Steps is -3; allowed is 1 to 1000.")

    monkeypatch.setitem(dispatch.COMMANDS, "serve", fail)
    assert dispatch.main(["serve"]) == 1
    assert capsys.readouterr().err == "Steps is -3; allowed is 1 to 1000.\n"


def test_ctrl_c_is_130(monkeypatch):
    def stop(command):
        raise KeyboardInterrupt

    monkeypatch.setitem(dispatch.COMMANDS, "serve", stop)
    assert dispatch.main([]) == 130
