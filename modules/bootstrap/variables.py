"""The environment variables of this process. Beside the start itself, the only place that touches them.

Rooms that start a program of their own, or have to know where the system keeps its programs, ask here.
"""

from __future__ import annotations

import os


def snapshot() -> dict[str, str]:
    """All variables as they are now; changing the answer changes nothing."""
    return dict(os.environ)


def declare(**variables: str) -> None:
    """Set variables that libraries read when they are imported, for this process and those that it starts."""
    os.environ.update(variables)
