"""Batches made ahead of the training by worker processes, in order, so that the device never waits for its data.

What a batch is follows from its number alone, so a run gives the same whatever the number of workers, and a resumed
one goes on where it stopped. The parent sends each worker the numbers of the batches that it is to make (tickets); a
worker that no longer hears from its parent ends by itself.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from modules.training.worker import serve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = tuple[NDArray[np.generic], ...]

Make = Callable[[int], "Arrays"]
"""From the number of a batch to its arrays. Picklable (a function or an object of a module), the same at every call."""

PATIENCE_S = 5.0
"""How long a worker may take to end by itself before it is ended."""


class Feed:
    """Hands out batch `first`, `first` + 1, and so on. To be closed, best as a context manager.

    With `workers` 0 the batches are made in the calling thread when they are asked for. Otherwise at most `ahead`
    batches a worker are under way or waiting. Workers are started as fresh interpreters (spawn), compute with one
    thread each, leave Ctrl-C to the parent and die with it.
    """

    def __init__(self, make: Make, *, workers: int = 2, ahead: int = 3, first: int = 0) -> None:
        """Starts the workers. Raises ValueError for a negative number of workers or nothing ahead."""
        if workers < 0 or ahead < 1:
            raise ValueError(f"workers {workers} has to be 0 or more and ahead {ahead} at least 1.")
        self._make, self._first, self._next = make, first, first
        self._ready: dict[int, Any] = {}
        self._failed: dict[int, str] = {}
        self._fault: str | None = None
        self._news = threading.Condition()
        self._links: list[Connection] = []
        self._processes: list[Any] = []
        self._reader: threading.Thread | None = None
        if workers:
            self._start(pickle.dumps(make), workers)
            for step in range(first, first + ahead * workers):
                self._order(step)
            self._stride = ahead * workers
            self._reader = threading.Thread(target=self._read, name="feed", daemon=True)
            self._reader.start()

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, step: int) -> Arrays:
        """Batch number `step`, which has to be the next one; waits until it is there.

        Raises ValueError for another number, and RuntimeError for a closed feed and, with the worker's message, where
        one failed or died. Without workers what `make` raises comes through as it is.
        """
        if step != self._next:
            raise ValueError(f"Batch {step} was asked for; the next one is {self._next}.")
        if self._reader is None:
            if self._fault is not None:
                raise RuntimeError(self._fault)
            batch = self._make(step)
            self._next += 1
            return batch
        with self._news:
            while step not in self._ready and step not in self._failed and self._fault is None:
                self._news.wait()
            if step not in self._ready:
                raise RuntimeError(self._failed.get(step, self._fault))
            arrays: Arrays = self._ready.pop(step)
        self._next += 1
        self._order(step + self._stride)
        return arrays

    def close(self) -> None:
        """Ends the workers; what they have made is dropped. May be called again."""
        with self._news:
            self._fault = self._fault or "The feed is closed."
            self._news.notify_all()
        for link in self._links:
            self._tell(link, None)
        if self._reader is not None:
            self._reader.join(PATIENCE_S)  # it ends with the last worker's farewell
        for process in self._processes:
            process.join(0.0 if self._reader is not None and self._reader.is_alive() else PATIENCE_S)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        if self._reader is not None:
            self._reader.join()
        for link in self._links:
            link.close()
        self._links, self._processes = [], []

    def _start(self, make: bytes, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        for number in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, make), name=f"feed-{number}", daemon=True)
            process.start()
            theirs.close()  # or the end of the worker would go unnoticed here
            self._links.append(ours)
            self._processes.append(process)

    def _order(self, step: int) -> None:
        self._tell(self._links[(step - self._first) % len(self._links)], step)

    @staticmethod
    def _tell(link: Connection, ticket: int | None) -> None:
        try:
            link.send(ticket)
        except OSError:
            return  # the worker is gone; the reading thread has seen it and says so

    def _read(self) -> None:
        """Takes what the workers send until each has said its farewell or one is lost."""
        open_links = list(self._links)
        while open_links:
            for link in wait(open_links):
                assert isinstance(link, Connection)
                try:
                    step, arrays, fault = link.recv()
                except (EOFError, OSError):
                    open_links.remove(link)
                    self._fail("A worker of the feed ended without a word; it may have run out of memory.")
                    continue
                if step is None:
                    open_links.remove(link)
                else:
                    with self._news:
                        if fault is not None:
                            self._failed[step] = f"Batch {step} could not be made. {fault}"
                        elif self._fault is None:
                            self._ready[step] = arrays
                        self._news.notify_all()

    def _fail(self, text: str) -> None:
        with self._news:
            self._fault = self._fault or text
            self._news.notify_all()
