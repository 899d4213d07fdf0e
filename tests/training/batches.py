"""Makers of batches for the tests of the feed; in a module of their own, so that worker processes can import them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


def make_batch(step):
    """Two arrays that follow from the step."""
    lot = np.random.default_rng([5, step])
    return lot.random((4, 3)).astype(np.float32), lot.integers(0, 9, size=4)


def tell_settings(step):
    """Threads that numerical libraries are told to use, whether Ctrl-C is ignored, and the process's number."""
    ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return (np.array([int(os.environ["OMP_NUM_THREADS"]), ignores, os.getpid()]),)


@dataclass
class Marking:
    """Leaves a file for every batch it makes."""

    folder: Path

    def __call__(self, step):
        (self.folder / str(step)).touch()
        return (np.array([step]),)


@dataclass
class Fragile:
    """Fails, or dies, at one step."""

    bad: int
    dies: bool = False

    def __call__(self, step):
        if step == self.bad:
            if self.dies:
                os._exit(3)
            raise ValueError("the second is bad")
        return (np.array([step]),)


@dataclass
class Slow:
    """Gives its process's number at once and then never again anything."""

    def __call__(self, step):
        if step:
            time.sleep(600)
        return (np.array([os.getpid()]),)
