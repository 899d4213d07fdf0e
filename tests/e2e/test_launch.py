"""`python launch.py` as a user meets it: the server comes back, stops cleanly, stays on this machine when told to."""

import os
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest
from PIL import Image

from modules.support.offline import is_local
from tests.e2e.server import ROOT, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RECORDER = """
import os, sys
log = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def record(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.bind"):
        address = arguments[1]
        if isinstance(address, tuple):
            os.write(log, f"{{event}} {{address[0]}}\\n".encode())
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        os.write(log, f"{{event}} {{arguments[0]}}\\n".encode())
sys.addaudithook(record)
"""


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Every Python that starts from here on writes down the hosts it asks for; gives the file's lines."""
    folder, log = tmp_path / "site", tmp_path / "hosts.log"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(RECORDER.format(path=str(log)))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return lambda: log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def server(tmp_path):
    started = Server(tmp_path / "data", "--nowebui")
    yield started
    started.stop()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def generate(*words):
    line = [sys.executable, "launch.py", "generate", *words]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)


def test_a_killed_server_answers_again_and_a_stopped_one_is_gone(server):
    server.wait_up()
    first = server.worker()
    first.kill()
    until(lambda: not first.is_running())
    server.wait_up()
    second = server.worker()
    assert second.pid != first.pid
    assert server.stop() == 0
    assert not second.is_running()
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url)


def test_ctrl_c_stops_it_while_it_still_loads(server):
    server.wait_up()
    worker = server.worker()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(40) == 0
    assert not worker.is_running()


def test_a_server_whose_supervisor_was_killed_stops_by_itself(server):
    server.wait_up()
    worker = server.worker()
    server.process.kill()
    server.process.wait()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/healthz", timeout=5)


def test_a_taken_port_ends_it_at_once(server, tmp_path):
    server.wait_up()
    second = Server(tmp_path / "other", port=server.port)
    assert second.process.wait(60) == 78
    assert f"port {server.port}" in second.log.read_text()


def test_an_offline_server_draws_and_opens_nothing_but_loopback(recorded, tmp_path):
    with running(tmp_path / "data", "--offline") as server:
        assert httpx.get(server.url).status_code == 200
        worker = server.worker()
        body = {"prompt": "a red circle on a white background", "steps": 2, "seed": 1}
        answer = httpx.post(f"{server.url}/sdapi/v1/txt2img", json=body, timeout=300)
        assert answer.status_code == 200, answer.text
        # The sockets that the kernel knows of: also those of compiled code, which the interpreter never sees.
        ends = [end for link in worker.net_connections("inet") for end in (link.laddr, link.raddr) if end]
        assert ends
        assert {end.ip for end in ends if not is_local(end.ip)} == set()
    hosts = {line.partition(" ")[2] for line in recorded()}
    assert "127.0.0.1" in hosts
    assert {host for host in hosts if host != "None" and not is_local(host)} == set()


def test_generate_draws_offline(recorded, tmp_path):
    words = ("a red circle on a white background", "--seed", "1", "--steps", "4", "--offline")
    done = generate(*words, "-o", str(tmp_path / "x.png"), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert "seed 1" in done.stderr
    with Image.open(tmp_path / "x.png") as picture:
        assert "Seed: 1" in picture.text["parameters"]
    hosts = {line.partition(" ")[2] for line in recorded()}
    assert {host for host in hosts if host != "None" and not is_local(host)} == set()
    assert not list((tmp_path / "data" / "outputs").rglob("*.png"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--steps", "-4"), "Steps is -4; allowed is 1 to 1000."),
        (("--model", "no-such-model"), "no-such-model"),
    ],
)
def test_wrong_input_is_one_sentence_and_no_file(tmp_path, words, sentence):
    done = generate("a fox", *words, "-o", str(tmp_path / "x.png"), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.png").exists()
