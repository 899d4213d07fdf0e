"""A1111's `modules.paths_internal`: as `modules.paths`."""

from __future__ import annotations

from typing import Any

from modules.a1111 import paths


def __getattr__(name: str) -> Any:
    """As of `paths`."""
    return getattr(paths, name)
