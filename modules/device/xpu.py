"""Intel GPUs through torch's XPU backend."""

from __future__ import annotations

from modules.device.accelerator import TorchAccelerator
from modules.device.base import Probe


class XpuHandler(TorchAccelerator):
    """`torch.xpu`."""

    id = "xpu"
    label = "Intel XPU"
    namespace = "xpu"
    messages = (
        "xpu out of memory",
        "ur_result_error_out_of_device_memory",
        "ur_result_error_out_of_resources",
        "pi_error_out_of_resources",
        "ze_result_error_out_of_device_memory",
        "out_of_device_memory",
    )

    def probe(self) -> Probe:
        host = self.host
        if host.torch is None:
            return Probe(False, "torch is not installed.")
        if host.torch.xpu is None and "xpu" not in host.torch.version:
            return Probe(False, f"torch {host.torch.version} is built without XPU.")
        if host.system == "Windows":
            return Probe(True, "an XPU build of torch for Windows is installed.")
        for sign in ("/dev/dri", "/dev/dxg"):
            if host.exists(sign):
                return Probe(True, f"{sign} is there.")
        return Probe(False, "no graphics device was found (/dev/dri is missing).")

    def driver(self) -> str:
        properties = self.space.get_device_properties(self.index)
        return str(getattr(properties, "driver_version", "unknown"))

    def attention_backends(self) -> tuple[str, ...]:
        return ("native", "_native_math")
