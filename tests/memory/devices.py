"""A device to test measures with: computes on the CPU and remembers what it was asked."""

from __future__ import annotations

from modules.device.base import MemoryInfo
from modules.device.cpu import CpuHandler


class RecordingHandler(CpuHandler):
    """The CPU playing an accelerator."""

    accelerator = True
    label = "Fake GPU"

    def __init__(self) -> None:
        super().__init__()
        self.emptied = 0

    def memory(self):
        return MemoryInfo(64 << 20, 32 << 20)

    def empty_cache(self):
        self.emptied += 1

    def is_out_of_memory(self, error):
        return isinstance(error, MemoryError) or "out of memory" in str(error)
