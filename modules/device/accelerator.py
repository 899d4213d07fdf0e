"""What the handlers of accelerators share: choice of precision, and torch's common shape of memory figures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from modules.device.base import GROUPS, DeviceHandler, DtypeReport, MemoryInfo, Probe
from modules.device.measurement import DtypeTiming

log = logging.getLogger(__name__)

WORTH = 0.75
"""bf16 is taken over fp16 as long as it reaches this share of its speed: it cannot overflow."""
BACKEND_ERRORS = (RuntimeError, AssertionError, OSError, ImportError)
"""What a torch backend raises when its hardware, driver or library is missing or broken."""


def decide_half(timings: Mapping[str, DtypeTiming]) -> DtypeReport:
    """A half precision for denoiser and text encoder, bf16 before fp16; bf16 or else fp32 for the VAE.

    The decoders of several families leave the range of fp16, so fp16 is not chosen for the VAE by itself.
    """
    speed = {name: timing.speed for name, timing in timings.items() if timing.speed is not None}
    works = {name for name, timing in timings.items() if timing.works}
    reasons = [f"{name} {timing.problem}" for name, timing in timings.items() if timing.problem]
    brain = speed.get("bfloat16", 0.0) if "bfloat16" in works else 0.0
    half = speed.get("float16", 0.0) if "float16" in works else 0.0
    if brain and brain >= half * WORTH:
        main = "bfloat16"
        reasons.append(f"bfloat16 works at {brain:.2g} times the speed of fp32 and cannot overflow")
    elif half:
        main = "float16"
        reasons.append(f"float16 works at {half:.2g} times the speed of fp32, bfloat16 at {brain:.2g}")
    else:
        main = "float32"
        reasons.append("no half precision works here")
    vae = "bfloat16" if main == "bfloat16" else "float32"
    best = {group: vae if group == "vae" else main for group in GROUPS}
    usable = tuple(name for name in timings if timings[name].works)
    return DtypeReport(best=best, large=best, usable=usable, speed=speed, reasons=tuple(reasons))


def describe(error: BaseException) -> str:
    """The first line of an error, for a reason."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class TorchAccelerator(DeviceHandler):
    """A device that torch offers as `torch.<namespace>` with the functions that `torch.cuda` made customary."""

    namespace: ClassVar[str]
    messages: ClassVar[tuple[str, ...]]
    """Words in the backend's errors that mean that memory ran out, in lower case."""

    @property
    def space(self) -> Any:
        """`torch.cuda`, `torch.xpu`, …"""
        return getattr(self.backend, self.namespace)

    def torch_device(self) -> str:
        return f"{self.namespace}:{self.index}"

    def name(self) -> str:
        return str(self.space.get_device_name(self.index))

    def _refusal(self) -> str | None:
        """Why this torch does not belong to the handler, or None. For builds that share a namespace."""
        return None

    def confirm(self) -> Probe:
        try:
            refusal = self._refusal()
            if refusal is not None:
                return Probe(False, refusal)
            if not self.space.is_available():
                return Probe(False, f"torch {self.backend.__version__} finds no {self.label} device.")
            count = int(self.space.device_count())
            if self.index >= count:
                return Probe(
                    False, f"{self.id}:{self.index} was asked for; there are {self.id}:0 to {self.id}:{count - 1}."
                )
            name = self.name()
        except BACKEND_ERRORS as error:
            return Probe(False, f"{self.label} does not start: {describe(error)}")
        return Probe(True, f"torch {self.backend.__version__} sees {name}.", {"name": name, "count": count})

    def decide(self, timings: Mapping[str, DtypeTiming]) -> DtypeReport:
        return decide_half(timings)

    def memory(self) -> MemoryInfo:
        free, total = self.space.mem_get_info(self.index)
        allocated = int(self.space.memory_allocated(self.index))
        reserved = int(self.space.memory_reserved(self.index))
        peak = int(self.space.max_memory_allocated(self.index))
        return MemoryInfo(int(total), int(free) + reserved - allocated, allocated, reserved, peak)

    def allocator(self) -> Mapping[str, int] | None:
        return dict(self.space.memory_stats(self.index))

    def is_out_of_memory(self, error: BaseException) -> bool:
        kind = getattr(self.backend, "OutOfMemoryError", None)
        if isinstance(kind, type) and isinstance(error, kind):
            return True
        text = str(error).lower()
        return isinstance(error, RuntimeError) and any(words in text for words in self.messages)

    def empty_cache(self) -> None:
        self.space.empty_cache()

    def synchronize(self) -> None:
        self.space.synchronize(self.index)
