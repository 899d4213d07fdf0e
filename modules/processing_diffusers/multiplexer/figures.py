"""What the multiplexer did, in numbers: for benchmarks and the system page."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class Figures:
    """Counts per target. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, list[float]] = {}
        self._sizes: dict[str, Counter[int]] = {}
        self._splits = 0

    def count(self, target: str, lanes: int, samples: int, seconds: float) -> None:
        """One forward was run for that many lanes."""
        with self._lock:
            row = self._rows.setdefault(target, [0.0, 0.0, 0.0, 0.0])
            for place, amount in enumerate((1, lanes, samples, seconds)):
                row[place] += amount
            self._sizes.setdefault(target, Counter())[samples] += 1

    def count_split(self) -> None:
        """A merged call did not fit and was cut in halves."""
        with self._lock:
            self._splits += 1

    def report(self) -> dict[str, Any]:
        """`targets` by name and `splits`.

        A target has `forwards`, `calls`, `mean_lanes`, `mean_samples`, `seconds`, and `sizes`: how many forwards had so
        many samples.
        """
        with self._lock:
            targets = {
                name: {
                    "forwards": int(forwards),
                    "calls": int(calls),
                    "mean_lanes": calls / forwards,
                    "mean_samples": samples / forwards,
                    "seconds": seconds,
                    "sizes": dict(self._sizes[name]),
                }
                for name, (forwards, calls, samples, seconds) in self._rows.items()
            }
            return {"targets": targets, "splits": self._splits}

    def reset(self) -> None:
        """Begin again from zero."""
        with self._lock:
            self._rows.clear()
            self._sizes.clear()
            self._splits = 0
