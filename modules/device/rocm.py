"""AMD GPUs through ROCm. Torch offers them as `torch.cuda`; `torch.version.hip` tells them apart."""

from __future__ import annotations

from modules.device.accelerator import TorchAccelerator
from modules.device.base import Probe


class RocmHandler(TorchAccelerator):
    """`torch.cuda` of a ROCm build."""

    id = "rocm"
    label = "AMD ROCm"
    namespace = "cuda"
    messages = (
        "hip out of memory",
        "cuda out of memory",
        "hip error: out of memory",
        "hiperroroutofmemory",
        "hipblas_status_alloc_failed",
        "rocblas_status_memory_error",
        "miopenstatusallocfailed",
    )

    def probe(self) -> Probe:
        host = self.host
        if host.torch is None:
            return Probe(False, "torch is not installed.")
        if host.torch.hip is None:
            return Probe(False, f"torch {host.torch.version} is built without ROCm.")
        details = {"hip": host.torch.hip}
        if host.exists("/dev/kfd"):
            return Probe(True, "/dev/kfd is there.", details)
        if host.exists("/dev/dxg"):
            return Probe(True, "/dev/dxg is there (ROCm under WSL).", details)
        if host.system == "Windows":
            return Probe(True, "a ROCm build of torch for Windows is installed.", details)
        return Probe(False, "no AMD compute driver was found (/dev/kfd is missing).")

    def driver(self) -> str:
        text = self.host.read("/sys/module/amdgpu/version")
        return f"{text.strip() if text else ''} HIP {self.backend.version.hip}".strip()

    def _refusal(self) -> str | None:
        if getattr(self.backend.version, "hip", None):
            return None
        return f"this torch is built for CUDA {self.backend.version.cuda}, not for ROCm."

    def attention_backends(self) -> tuple[str, ...]:
        extra = ("flash",) if self.host.installed("flash_attn") else ()
        return ("native", *extra, "_native_flash", "_native_efficient", "_native_math")
