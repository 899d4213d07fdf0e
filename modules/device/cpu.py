"""The CPU: always there, exact in fp32, and sometimes twice as fast in bf16."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping

from modules.device.base import GROUPS, DeviceHandler, DtypeReport, MemoryInfo, Probe
from modules.device.measurement import DtypeTiming
from modules.device.ram import host_memory, process_memory

GAIN = 1.5
"""bf16 has to be this many times as fast as fp32 before a large model is computed in it."""


class CpuHandler(DeviceHandler):
    """The processor. fp32 unless bf16 is clearly faster and the model is large."""

    id = "cpu"
    label = "CPU"
    accelerator = False

    def probe(self) -> Probe:
        if self.host.torch is None:
            return Probe(False, "torch is not installed.")
        return Probe(True, "every machine has one.")

    def confirm(self) -> Probe:
        if self.index != 0:
            return Probe(False, f"cpu:{self.index} was asked for; there is cpu only.")
        return Probe(True, f"torch {self.backend.__version__} computes on the CPU.")

    def torch_device(self) -> str:
        return "cpu"

    def name(self) -> str:
        text = self.host.read("/proc/cpuinfo") or ""
        for line in text.splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
        return platform.processor() or self.host.machine

    def driver(self) -> str:
        # What a CPU can do comes from its instruction sets and from how many threads torch uses.
        capability = getattr(self.backend.backends.cpu, "get_cpu_capability", lambda: "unknown")()
        return f"{capability}, {self.backend.get_num_threads()} threads"

    def memory(self) -> MemoryInfo:
        system, process = host_memory(), process_memory()
        return MemoryInfo(system.total, system.free, process.used, None, process.peak)

    def is_out_of_memory(self, error: BaseException) -> bool:
        if isinstance(error, MemoryError):
            return True
        text = str(error).lower()
        words = (
            "defaultcpuallocator: can't allocate",
            "defaultcpuallocator: not enough memory",
            "can't allocate memory",
        )
        return isinstance(error, RuntimeError) and any(word in text for word in words)

    def empty_cache(self) -> None:
        """Give freed heap pages back where the C library can (glibc keeps them otherwise)."""
        if sys.platform.startswith("linux"):
            trim_heap()

    def synchronize(self) -> None:
        """Nothing to do: a call has ended when it returns."""

    def attention_backends(self) -> tuple[str, ...]:
        return ("native", "_native_math")

    def decide(self, timings: Mapping[str, DtypeTiming]) -> DtypeReport:
        speed = {name: timing.speed for name, timing in timings.items() if timing.speed is not None}
        reasons = [f"{name} {timing.problem}" for name, timing in timings.items() if timing.problem]
        best = dict.fromkeys(GROUPS, "float32")
        large = dict(best)
        brain = timings.get("bfloat16")
        gain = brain.speed if brain is not None and brain.works and brain.speed else 0.0
        if gain >= GAIN:
            # The decoder stays exact: it is one call of many, and bf16 shows as noise in flat areas.
            large |= {"denoiser": "bfloat16", "text_encoder": "bfloat16"}
            reasons.append(
                f"bfloat16 is {gain:.1f} times as fast as fp32, so large models use it and small ones stay exact"
            )
        else:
            reasons.append(f"fp32, because bfloat16 reaches {gain:.2g} times its speed and {GAIN} are asked for")
        usable = tuple(name for name in timings if timings[name].works)
        return DtypeReport(best=best, large=large, usable=usable, speed=speed, reasons=tuple(reasons))


def trim_heap() -> None:
    """Call glibc's `malloc_trim`; on a C library without it nothing happens."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
