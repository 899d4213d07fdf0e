"""How often something was found where it was looked for."""

from __future__ import annotations

import threading


class Tally:
    """Hits and misses of a cache. Safe from any thread; it outlives what is counted, so its figures never fall."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    def count(self, *, hit: bool) -> None:
        """One look."""
        with self._lock:
            if hit:
                self._hits += 1
            else:
                self._misses += 1

    def report(self) -> dict[str, int]:
        """`hits` and `misses`."""
        with self._lock:
            return {"hits": self._hits, "misses": self._misses}
