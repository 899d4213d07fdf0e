"""The last maps that were made: a preview and the drawing, the passes of a job and its pictures ask for the same."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

from modules.control.preprocessors.base import Pixels


class Maps:
    """The last maps, as many as fit into `budget` bytes. Safe from any thread; two that ask at once both look."""

    def __init__(self, budget: int) -> None:
        self._budget, self._lock = budget, threading.Lock()
        self._known: OrderedDict[Hashable, Pixels] = OrderedDict()

    def get(self, asked: Hashable, image: Pixels, look: Callable[[], Pixels]) -> Pixels:
        """The map of that picture by what `asked` says, made by `look` unless it is known; it cannot be written into.

        Pictures are the same when all their pixels are.
        """
        key = (asked, image.shape, hashlib.sha256(np.ascontiguousarray(image).data).digest())
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = look()
        found.flags.writeable = False
        with self._lock:
            self._known[key] = found
            while sum(each.nbytes for each in self._known.values()) > self._budget:
                self._known.popitem(last=False)
        return found

    def empty(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._known.clear()
