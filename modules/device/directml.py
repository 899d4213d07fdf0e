"""GPUs of any vendor on Windows through DirectML (the package `torch_directml`)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from modules.device.accelerator import BACKEND_ERRORS, decide_half, describe
from modules.device.base import DeviceHandler, DtypeReport, MemoryInfo, Probe
from modules.device.measurement import DtypeTiming


class DirectMlHandler(DeviceHandler):
    """`torch_directml`. It tells no memory figures and has no cache to empty."""

    id = "directml"
    label = "DirectML"
    attention_is_quadratic = True

    def _import(self) -> Any:
        return importlib.import_module("torch_directml")

    def probe(self) -> Probe:
        if self.host.torch is None:
            return Probe(False, "torch is not installed.")
        if self.host.system != "Windows" and not self.host.exists("/dev/dxg"):
            return Probe(False, f"DirectML is on Windows and WSL only; this is {self.host.system}.")
        if not self.host.installed("torch_directml"):
            return Probe(False, "the package torch_directml is not installed.")
        return Probe(True, "torch_directml is installed.")

    def confirm(self) -> Probe:
        try:
            count = int(self.backend.device_count())
            if self.index >= count:
                return Probe(False, f"directml:{self.index} was asked for; there are {count} devices.")
            name = self.name()
        except BACKEND_ERRORS as error:
            return Probe(False, f"DirectML does not start: {describe(error)}")
        return Probe(True, f"DirectML sees {name}.", {"name": name, "count": count})

    def torch_device(self) -> str:
        return str(self.backend.device(self.index))

    def name(self) -> str:
        # The package ends the name with a NUL character.
        return str(self.backend.device_name(self.index)).rstrip("\x00").strip()

    def memory(self) -> MemoryInfo:
        return MemoryInfo(None, None)

    def is_out_of_memory(self, error: BaseException) -> bool:
        text = str(error).lower()
        words = (
            "not enough gpu video memory",
            "could not allocate tensor",
            "not enough memory resources",
            "e_outofmemory",
        )
        return isinstance(error, RuntimeError) and any(word in text for word in words)

    def empty_cache(self) -> None:
        """Nothing to do: DirectML keeps no cache that torch could empty."""

    def synchronize(self) -> None:
        """Nothing to do: reading a result back waits for it, and there is no other call."""

    def attention_backends(self) -> tuple[str, ...]:
        return ("native", "_native_math")

    def decide(self, timings: Mapping[str, DtypeTiming]) -> DtypeReport:
        return decide_half(timings)
