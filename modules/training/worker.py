"""What runs in a worker process of the feed: tickets in, batches out.

Imports nothing heavy itself, because the number of threads has to be set before numerical libraries are imported.
"""

from __future__ import annotations

import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from modules.bootstrap.variables import declare

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def serve(link: Connection, make: bytes) -> None:
    """Makes the batches whose numbers come over `link` until None or the parent's end comes.

    Answers with (number, arrays, None), with (number, None, message) where `make` raised, and with (None, None, None)
    as its last word. `make` is pickled, so that what it imports is imported after the number of threads is set.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    declare(**dict.fromkeys(THREADS, "1"))
    try:
        _serve(link, make)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone, and so is everybody who could want a batch


def _serve(link: Connection, pickled: bytes) -> None:
    make = None
    answer: tuple[int, Any, str | None]
    while (step := link.recv()) is not None:
        try:
            if make is None:
                make = pickle.loads(pickled)
                _use_one_thread()
            answer = (step, make(step), None)
        except Exception as error:  # the border of the process: whatever goes wrong has to reach the trainer
            answer = (step, None, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        link.send(answer)
    link.send((None, None, None))


def _use_one_thread() -> None:
    """Libraries that were imported already, or that read no environment, are told directly."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    if opencv := sys.modules.get("cv2"):
        opencv.setNumThreads(1)
