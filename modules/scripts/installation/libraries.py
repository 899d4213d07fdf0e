"""Where Python looks for the libraries of extensions: last, so that nothing of theirs hides anything of the studio."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

_LOCK = threading.Lock()
_MOUNTED: list[str] = []
"""The path that this process has added."""


def mount(folder: Path | None) -> None:
    """From now on that folder is where they are found; None takes the former one away. What is imported stays."""
    with _LOCK:
        for path in _MOUNTED[:]:
            _MOUNTED.remove(path)
            if path in sys.path:
                sys.path.remove(path)
        if folder is not None:
            _MOUNTED.append(str(folder))
            sys.path.append(str(folder))
        importlib.invalidate_caches()
