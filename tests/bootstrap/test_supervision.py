"""The supervisor as a process, over a small child that writes down each of its starts."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from modules.bootstrap.options import ROOT
from modules.bootstrap.supervision import RESTART, Backoff, describe

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX are sent here")

SUPERVISOR = """
import os, sys
from modules.bootstrap.supervision import Backoff, Supervisor
say = lambda text: (sys.stderr.write(text + "\\n"), sys.stderr.flush())
pace = Backoff(first=0.1, largest=0.4, healthy=60)
sys.exit(Supervisor(sys.argv[2:], dict(os.environ), say, pace, grace=float(sys.argv[1])).run())
"""

CHILD = """
import os, signal, sys, time
from pathlib import Path
from modules.bootstrap import lifeline
lifeline.follow(grace=0.3)
here, mode = Path(sys.argv[1]), sys.argv[2]
number = len(list(here.glob("start-*")))
if mode == "polite":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
elif mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
(here / f"start-{number}.tmp").write_text(f"{os.getpid()} {time.monotonic()}")
(here / f"start-{number}.tmp").rename(here / f"start-{number}")
if mode.startswith("exit"):
    sys.exit([int(code) for code in mode.split(":")[1:]][number])
while True:
    time.sleep(0.05)
"""


class Watch:
    """A running supervisor and what its child has left behind."""

    def __init__(self, folder: Path, mode: str, grace: float = 20):
        self.folder = folder
        command = [sys.executable, "-P", "-c", SUPERVISOR, str(grace), sys.executable, "-P", "-c", CHILD]
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [*command, str(folder), mode], env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def starts(self, count: int) -> list[tuple[int, float]]:
        """Process id and time of each start, once there are `count`."""
        until(lambda: (self.folder / f"start-{count - 1}").exists())
        words = [(self.folder / f"start-{number}").read_text().split() for number in range(count)]
        return [(int(pid), float(when)) for pid, when in words]

    def end(self, timeout: float = 30) -> tuple[int, str]:
        """Exit code and everything that was said."""
        said = self.process.communicate(timeout=timeout)[1]
        return self.process.returncode, said


def until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def watch(tmp_path):
    begun = []

    def begin(mode, **settings):
        begun.append(Watch(tmp_path, mode, **settings))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_a_server_that_is_killed_starts_again(watch):
    running = watch("polite")
    first = running.starts(1)[0][0]
    os.kill(first, signal.SIGKILL)
    second = running.starts(2)[1][0]
    assert second != first
    running.process.terminate()
    code, said = running.end()
    assert code == 0
    assert "ended unexpectedly (signal SIGKILL); starting it again in 0.1 s" in said


def test_pauses_grow_until_the_largest_and_a_final_code_ends_it(watch):
    running = watch("exit:1:3:1:1:78")
    times = [when for _, when in running.starts(5)]
    code, said = running.end()
    assert code == 78
    assert [line.rpartition(" in ")[2] for line in said.splitlines()] == ["0.1 s", "0.2 s", "0.4 s", "0.4 s"]
    assert "exit code 3" in said
    pauses = [after - before for before, after in pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.4), strict=True))


def test_a_server_that_asks_for_it_is_started_again_at_once_and_has_not_failed(watch):
    code, said = watch(f"exit:{RESTART}:{RESTART}:1:0").end()
    assert code == 0
    assert said.splitlines() == [
        *["Starting the server again, as it was asked for"] * 2,
        "The server ended unexpectedly (exit code 1); starting it again in 0.1 s",
    ]


@pytest.mark.parametrize("code", [0, 2, 78])
def test_a_code_that_means_it_is_handed_on_without_another_start(watch, code):
    assert watch(f"exit:{code}").end() == (code, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_server_cleanly(watch, number):
    running = watch("polite")
    pid = running.starts(1)[0][0]
    os.kill(running.process.pid, number)
    code, said = running.end()
    assert (code, said.startswith("Stopping")) == (0, True)
    assert not is_alive(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_has_no_handler_yet_counts_as_stopped_cleanly(watch, number):
    running = watch("plain")
    running.starts(1)
    running.process.send_signal(number)
    assert running.end()[0] == 0


def test_a_server_that_does_not_stop_is_ended_after_the_grace(watch):
    running = watch("deaf", grace=0.1)
    pid = running.starts(1)[0][0]
    running.process.terminate()
    code, said = running.end()
    assert code == 128 + signal.SIGTERM
    assert "did not stop within 0.1 s" in said
    assert not is_alive(pid)


def test_ctrl_c_twice_does_not_wait(watch):
    running = watch("deaf", grace=300)
    pid = running.starts(1)[0][0]
    running.process.send_signal(signal.SIGINT)
    assert running.process.stderr.readline() == "Stopping; Ctrl-C again ends it at once\n"
    running.process.send_signal(signal.SIGINT)
    assert running.end()[0] == 128 + signal.SIGINT
    assert not is_alive(pid)


def test_the_end_can_be_asked_for_during_a_pause(watch):
    running = watch("exit:1:1:1:1:1:1:1:1")
    running.starts(4)
    running.process.terminate()
    code, said = running.end()
    # 143 when the signal came between the child's own failure and the pause.
    assert code in (0, 143)
    assert "starting it again" in said


@pytest.mark.parametrize("mode", ["polite", "deaf"])
def test_a_supervisor_that_is_killed_takes_the_server_with_it(watch, mode):
    running = watch(mode)
    pid = running.starts(1)[0][0]
    running.process.kill()
    assert running.process.wait() == -signal.SIGKILL
    until(lambda: not is_alive(pid))
    assert not is_alive(pid)


def test_pauses_begin_anew_after_a_minute_of_health():
    pace = Backoff()
    pauses = [pace.after(0, 0)]
    for _ in range(8):
        pauses.append(pace.after(pauses[-1], 1))
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert pace.after(30, 61) == 0.5


def test_exit_codes_in_words():
    assert (describe(3), describe(-9), describe(-200)) == ("exit code 3", "signal SIGKILL", "signal 200")
