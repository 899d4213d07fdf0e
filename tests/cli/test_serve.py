"""`serve` before the server: the port that cannot be had, and the order of what happens."""

import socket
import sys
import types

import pytest

from modules.bootstrap import flags
from modules.bootstrap.options import NetworkOptions
from modules.cli import dispatch, serve
from modules.contracts.errors import InvalidRequest


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
    stand_in = types.SimpleNamespace(serve=lambda options: seen.append(options) or 5)
    monkeypatch.setitem(sys.modules, "modules.app", stand_in)
    command = flags.parse(["--port", "0", "--lanes", "2"])
    assert serve.run(command) == 5
    assert seen == [command.options]


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
