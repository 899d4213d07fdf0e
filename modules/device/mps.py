"""Apple GPUs through Metal. Memory is shared with the CPU."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from modules.device.accelerator import BACKEND_ERRORS, decide_half, describe
from modules.device.base import DeviceHandler, DtypeReport, MemoryInfo, Probe
from modules.device.measurement import DtypeTiming


class MpsHandler(DeviceHandler):
    """`torch.mps`. There is one device only."""

    id = "mps"
    label = "Apple Metal"
    attention_is_quadratic = True

    @property
    def space(self) -> Any:
        """`torch.mps`."""
        return self.backend.mps

    def probe(self) -> Probe:
        if self.host.torch is None:
            return Probe(False, "torch is not installed.")
        if self.host.system != "Darwin":
            return Probe(False, f"Metal is on macOS only; this is {self.host.system}.")
        if self.host.machine != "arm64":
            return Probe(False, f"torch supports Metal on Apple silicon; this is {self.host.machine}.")
        return Probe(True, "this is macOS on Apple silicon.")

    def confirm(self) -> Probe:
        if self.index != 0:
            return Probe(False, f"mps:{self.index} was asked for; there is mps:0 only.")
        try:
            space = self.backend.backends.mps
            if not space.is_built():
                return Probe(False, f"torch {self.backend.__version__} is built without Metal.")
            if not space.is_available():
                return Probe(False, "Metal is there, but this macOS is too old for torch.")
        except BACKEND_ERRORS as error:
            return Probe(False, f"Metal does not start: {describe(error)}")
        return Probe(True, f"torch {self.backend.__version__} sees Metal.")

    def torch_device(self) -> str:
        return "mps"

    def name(self) -> str:
        return f"Apple {self.host.machine} GPU"

    def driver(self) -> str:
        # Metal comes with the system, and what it can compute changed with several of its versions.
        return f"macOS {platform.mac_ver()[0] or 'unknown'}"

    def memory(self) -> MemoryInfo:
        total = int(self.space.recommended_max_memory())
        reserved = int(self.space.driver_allocated_memory())
        allocated = int(self.space.current_allocated_memory())
        return MemoryInfo(total, max(0, total - allocated), allocated, reserved)

    def is_out_of_memory(self, error: BaseException) -> bool:
        text = str(error).lower()
        words = (
            "mps backend out of memory",
            "invalid buffer size",
            "insufficient memory",
            "kiogpucommandbuffercallbackerroroutofmemory",
        )
        return isinstance(error, RuntimeError) and any(word in text for word in words)

    def empty_cache(self) -> None:
        self.space.empty_cache()

    def synchronize(self) -> None:
        self.space.synchronize()

    def attention_backends(self) -> tuple[str, ...]:
        return ("native", "_native_math")

    def decide(self, timings: Mapping[str, DtypeTiming]) -> DtypeReport:
        return decide_half(timings)
