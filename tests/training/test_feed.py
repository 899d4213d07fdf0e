"""The feed gives the same batches in the same order whoever makes them, stays bounded, and ends with its owner."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from modules.support.paths import ROOT
from modules.training.feed import Feed
from tests.training.batches import Fragile, Marking, Slow, make_batch, tell_settings


def alive(pid):
    """Whether a process of that number runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid, seconds=20.0):
    """Whether the process ends within the time."""
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def test_workers_give_what_the_calling_thread_would():
    with Feed(make_batch, workers=0, first=3) as plain, Feed(make_batch, workers=2, ahead=2, first=3) as fed:
        for step in range(3, 12):
            for ours, theirs in zip(plain.take(step), fed.take(step), strict=True):
                assert ours.dtype == theirs.dtype
                assert np.array_equal(ours, theirs)


def test_a_worker_computes_with_one_thread_and_leaves_ctrl_c_to_the_parent(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with Feed(tell_settings, workers=1, ahead=1) as feed:
        (told,) = feed.take(0)
    threads, ignores, other = (int(value) for value in told)
    assert (threads, ignores) == (1, 1)
    assert other != os.getpid()


def test_no_more_is_made_than_was_allowed(tmp_path):
    with Feed(Marking(tmp_path), workers=1, ahead=2) as feed:
        feed.take(0)
        feed.take(1)
        time.sleep(0.5)
        made = sorted(int(path.name) for path in tmp_path.iterdir())
        assert made[0] == 0
        assert made[-1] <= 3  # two taken, two ahead


def test_an_error_reaches_whoever_takes_the_batch():
    with Feed(Fragile(bad=2), workers=2, ahead=1) as feed:
        feed.take(0)
        feed.take(1)
        with pytest.raises(RuntimeError, match=r"Batch 2 could not be made. ValueError: the second is bad"):
            feed.take(2)
    with Feed(Fragile(bad=0), workers=0) as plain, pytest.raises(ValueError, match="the second is bad"):
        plain.take(0)


def test_a_worker_that_dies_is_told_of():
    with (
        Feed(Fragile(bad=1, dies=True), workers=1, ahead=1) as feed,
        pytest.raises(RuntimeError, match="without a word"),
    ):
        feed.take(0)
        feed.take(1)


def test_batches_are_taken_in_order_and_from_an_open_feed():
    feed = Feed(make_batch, workers=0)
    with pytest.raises(ValueError, match="next one is 0"):
        feed.take(1)
    feed.take(0)
    feed.close()
    with pytest.raises(RuntimeError, match="closed"):
        feed.take(1)
    with pytest.raises(ValueError, match="at least 1"):
        Feed(make_batch, ahead=0)


def test_closing_ends_the_workers_also_in_the_middle_of_a_batch(monkeypatch):
    monkeypatch.setattr("modules.training.feed.PATIENCE_S", 0.2)
    feed = Feed(Slow(), workers=1, ahead=2)
    (told,) = feed.take(0)
    feed.close()
    feed.close()
    assert gone(int(told[0]))


def test_workers_die_with_their_parent():
    code = (
        "import os, signal, sys\n"
        "from modules.training.feed import Feed\n"
        "from tests.training.batches import tell_settings\n"
        "if __name__ == '__main__':\n"
        "    feed = Feed(tell_settings, workers=1, ahead=2)\n"
        "    sys.stdout.write(str(int(feed.take(0)[0][2])))\n"
        "    sys.stdout.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -9
    assert gone(int(done.stdout))
