"""Memory of this machine and of this process. A container's limit counts as the machine's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)


@dataclass(frozen=True, slots=True)
class SystemMemory:
    """Bytes of the machine: all of it, and what can be taken without swapping."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes of this process: resident now, and at most so far (None where the system does not tell)."""

    used: int
    peak: int | None


def host_memory() -> SystemMemory:
    """The machine's memory, or the container's where that is smaller."""
    import psutil

    system = psutil.virtual_memory()
    total, free = int(system.total), int(system.available)
    limit = container_memory()
    if limit is None:
        return SystemMemory(total, free)
    return SystemMemory(min(total, limit.total), min(free, limit.free))


def container_memory(root: Path = Path("/")) -> SystemMemory | None:
    """The limit of the control group (v2, then v1), or None without one. File cache that can go counts as free."""
    for names in _CGROUPS:
        files = [root / name.lstrip("/") for name in names[:3]]
        try:
            limit = files[0].read_text().strip()
            used = int(files[1].read_text())
            stat = dict(line.split() for line in files[2].read_text().splitlines() if line)
        except (OSError, ValueError):
            continue
        if not limit.isdigit():
            return None
        total = int(limit)
        return SystemMemory(total, max(0, total - used + int(stat.get(names[3], 0))))
    return None


def process_memory() -> ProcessMemory:
    """This process."""
    info = _process(os.getpid()).memory_info()
    return ProcessMemory(int(info.rss), _peak(info))


@lru_cache(maxsize=1)
def _process(pid: int) -> psutil.Process:
    """Kept, because to look a process up takes longer than to ask it."""
    import psutil

    return psutil.Process(pid)


def _peak(info: object) -> int | None:
    windows = getattr(info, "peak_wset", None)
    if windows is not None:
        return int(windows)
    try:
        import resource
        import sys
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
