"""A1111's `modules.sd_samplers`: names of what the studio draws with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from modules.a1111.house import HOUSE


def __getattr__(name: str) -> Any:
    """`all_samplers`, `samplers`, `samplers_for_img2img`, `all_samplers_map`, `visible_samplers`."""
    rows = [
        SimpleNamespace(name=one.name, aliases=list(one.aliases), options=dict(one.options))
        for one in HOUSE.services.catalog.samplers()
    ]
    if name in ("all_samplers", "samplers", "samplers_for_img2img"):
        return rows
    if name in ("all_samplers_map", "samplers_map"):
        return {one.name: one for one in rows}
    raise AttributeError(f"modules.sd_samplers has no {name!r} here")


def visible_samplers() -> list[Any]:
    """All samplers."""
    found: list[Any] = __getattr__("all_samplers")
    return found


def visible_sampler_names() -> list[str]:
    """Their names."""
    return [one.name for one in visible_samplers()]
