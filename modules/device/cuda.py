"""NVIDIA GPUs through CUDA."""

from __future__ import annotations

from modules.device.accelerator import TorchAccelerator
from modules.device.base import Probe


class CudaHandler(TorchAccelerator):
    """`torch.cuda` of a build that is not ROCm's."""

    id = "cuda"
    label = "NVIDIA CUDA"
    namespace = "cuda"
    messages = (
        "cuda out of memory",
        "cuda error: out of memory",
        "cublas_status_alloc_failed",
        "cudnn_status_alloc_failed",
        "cuda_error_out_of_memory",
    )

    def probe(self) -> Probe:
        host = self.host
        if host.torch is None:
            return Probe(False, "torch is not installed.")
        if host.torch.cuda is None:
            return Probe(False, f"torch {host.torch.version} is built without CUDA.")
        for sign in ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg"):
            if host.exists(sign):
                return Probe(True, f"{sign} is there.", {"cuda": host.torch.cuda})
        program = host.which("nvidia-smi")
        if program:
            return Probe(True, f"{program} is there.", {"cuda": host.torch.cuda})
        return Probe(False, "no NVIDIA driver was found.")

    def driver(self) -> str:
        text = self.host.read("/proc/driver/nvidia/version")
        first = text.splitlines()[0].strip() if text else ""
        return f"{first} CUDA {self.backend.version.cuda}".strip()

    def _refusal(self) -> str | None:
        hip = getattr(self.backend.version, "hip", None)
        return f"this torch is built for ROCm {hip}, not for CUDA." if hip else None

    def attention_backends(self) -> tuple[str, ...]:
        # `native` is torch's own choice among flash, cuDNN and memory-efficient kernels. Quantised attention comes
        # last because it changes pictures.
        extra = [name for package, name in (("flash_attn", "flash"), ("xformers", "xformers")) if self._has(package)]
        quantised = ["sage"] if self._has("sageattention") else []
        return ("native", "_native_cudnn", "_native_flash", *extra, "_native_efficient", "_native_math", *quantised)

    def _has(self, package: str) -> bool:
        return self.host.installed(package)
