"""AMD GPUs, faked."""

from __future__ import annotations

from modules.device.rocm import RocmHandler
from tests.device.contract import HandlerContract
from tests.device.fakes import LINUX_CUDA, LINUX_ROCM, FakeOutOfMemoryError, FakeSpace, fake_torch, machine


class TestRocm(HandlerContract):
    device = "cuda:0"
    present = machine(torch=LINUX_ROCM, files=("/dev/kfd", "/sys/module/amdgpu/version"))
    absent = (
        machine(torch=None),
        machine(torch=LINUX_CUDA, files=("/dev/kfd",)),
        machine(torch=LINUX_ROCM, files=("/dev/nvidia0",)),
    )
    out_of_memory = (
        FakeOutOfMemoryError("anything"),
        RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("HIP error: out of memory"),
        RuntimeError("HIPBLAS_STATUS_ALLOC_FAILED"),
    )

    def make(self, index=0, **changes):
        return RocmHandler(index, **({"backend": fake_torch(FakeSpace(), hip="7.2"), "host": self.present} | changes))

    def test_a_cuda_build_is_refused(self):
        seen = self.make(backend=fake_torch(FakeSpace(), cuda="13.2")).confirm()
        assert seen.reason == "this torch is built for CUDA 13.2, not for ROCm."

    def test_windows_and_wsl_are_possible(self):
        assert self.make(host=machine("Windows", torch=LINUX_ROCM)).probe().available
        assert self.make(host=machine(torch=LINUX_ROCM, files=("/dev/dxg",))).probe().available

    def test_driver_and_runtime_are_part_of_the_key(self):
        assert "text of /sys/module/amdgpu/version HIP 7.2" in self.make().key()
