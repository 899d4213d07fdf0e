"""What was found and chosen, for `/device`, `doctor` and `/sdapi/v1/memory`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from modules.device.attention import AUTOMATIC, available_attentions
from modules.device.base import DeviceHandler
from modules.device.ram import host_memory, process_memory
from modules.device.select import DeviceChoice

_COUNTERS = {
    "active": "active_bytes.all",
    "allocated": "allocated_bytes.all",
    "reserved": "reserved_bytes.all",
    "inactive": "inactive_split_bytes.all",
}
"""A1111's names for counters of torch's allocator."""


def hardware_report(choice: DeviceChoice) -> dict[str, Any]:
    """What draws and why, ready for JSON. Sizes are in bytes."""
    handler = choice.handler
    build = handler.host.torch
    return {
        "id": handler.id,
        "label": handler.label,
        "name": handler.name(),
        "device": handler.torch_device(),
        "driver": handler.driver(),
        "torch": build.version if build is not None else None,
        "memory": asdict(handler.memory()),
        "dtypes": {
            "usable": list(choice.report.usable),
            "speed": {name: round(speed, 3) for name, speed in choice.report.speed.items()},
        },
        "attention": [AUTOMATIC, *available_attentions(handler)],
        "placements": {group: asdict(place) for group, place in choice.placements.items()},
        "large_models": {group: asdict(place) for group, place in choice.large.items()},
        "reasons": list(choice.reasons),
    }


def probe_report(handlers: tuple[DeviceHandler, ...]) -> list[dict[str, Any]]:
    """A first look at all kinds of hardware, without importing torch; for `doctor`."""
    rows = []
    for handler in handlers:
        seen = handler.probe()
        rows.append({"id": handler.id, "label": handler.label, "available": seen.available, "reason": seen.reason})
    return rows


def memory_report(choice: DeviceChoice | None) -> dict[str, Any]:
    """The answer of A1111's `/sdapi/v1/memory`: `ram` and `cuda`, in bytes; `cuda` is `{error}` where there is none.

    Before a device is chosen `choice` is None, and only the main memory is known.
    """
    if choice is None:
        return {"ram": _ram(), "cuda": {"error": "No device has been chosen yet; the studio is still starting."}}
    return {"ram": _ram(), "cuda": _accelerator(choice.handler)}


def _ram() -> dict[str, int]:
    system, process = host_memory(), process_memory()
    return {"free": system.free, "used": process.used, "total": system.total}


def _accelerator(handler: DeviceHandler) -> dict[str, Any]:
    if not handler.accelerator:
        return {"error": f"The device is the {handler.label}; its memory is the one under ram."}
    info = handler.memory()
    if info.total is None or info.free is None:
        return {"error": f"{handler.label} tells no memory figures."}
    free = info.free - ((info.reserved or 0) - (info.allocated or 0))
    system = {"free": free, "used": info.total - free, "total": info.total}
    counters = handler.allocator()
    if counters is None:
        figures = {"current": info.allocated, "peak": info.peak if info.peak is not None else info.allocated}
        # Only the CUDA family counts what its allocator did; elsewhere the current figures stand for both.
        reserved = {"current": info.reserved, "peak": info.reserved}
        nothing = {"current": 0, "peak": 0}
        parts: dict[str, Any] = {"active": figures, "allocated": figures, "reserved": reserved, "inactive": nothing}
        return {"system": system, **parts, "events": {"retries": 0, "oom": 0}}
    groups = {name: _group(counters, key) for name, key in _COUNTERS.items()}
    events = {"retries": counters.get("num_alloc_retries", 0), "oom": counters.get("num_ooms", 0)}
    return {"system": system, **groups, "events": events}


def _group(counters: Mapping[str, int], key: str) -> dict[str, int]:
    return {moment: int(counters.get(f"{key}.{moment}", 0)) for moment in ("current", "peak")}
