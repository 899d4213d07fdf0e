"""The device that engines of tests draw on."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def measured_cpu() -> Any:
    """The CPU for all engines of this process: what its precisions are worth is measured once, not for each."""
    from modules.device.cpu import CpuHandler

    return CpuHandler()
