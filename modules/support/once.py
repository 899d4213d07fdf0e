"""Things that are done once, however often and from however many threads they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable


def once(action: Callable[[], None]) -> Callable[[], None]:
    """`action`, run by the first call only; later and concurrent calls wait for it."""
    lock, done = threading.Lock(), threading.Event()

    def run() -> None:
        with lock:
            if not done.is_set():
                done.set()
                action()

    return run
