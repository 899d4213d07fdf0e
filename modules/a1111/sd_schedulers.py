"""A1111's `modules.sd_schedulers`: names of what the studio draws with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from modules.a1111.house import HOUSE


def __getattr__(name: str) -> Any:
    """`schedulers`, `schedulers_map`."""
    rows = [SimpleNamespace(name=one.name, label=one.label) for one in HOUSE.services.catalog.schedulers()]
    if name == "schedulers":
        return rows
    if name == "schedulers_map":
        return {key: one for one in rows for key in (one.name, one.label)}
    raise AttributeError(f"modules.sd_schedulers has no {name!r} here")
