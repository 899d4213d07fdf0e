"""Intel GPUs, faked."""

from __future__ import annotations

from modules.device.xpu import XpuHandler
from tests.device.contract import HandlerContract
from tests.device.fakes import LINUX_CUDA, LINUX_XPU, FakeOutOfMemoryError, FakeSpace, fake_torch, machine


class TestXpu(HandlerContract):
    device = "xpu:0"
    present = machine(torch=LINUX_XPU, files=("/dev/dri",))
    absent = (machine(torch=None), machine(torch=LINUX_CUDA, files=("/dev/dri",)), machine(torch=LINUX_XPU))
    out_of_memory = (
        FakeOutOfMemoryError("anything"),
        RuntimeError("XPU out of memory. Tried to allocate 1.00 GiB"),
        RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    )

    def make(self, index=0, **changes):
        return XpuHandler(index, **({"backend": fake_torch(FakeSpace()), "host": self.present} | changes))

    def test_the_driver_comes_from_the_device(self):
        assert self.make().driver() == "1.2.0"

    def test_windows_needs_no_device_file(self):
        assert self.make(host=machine("Windows", torch=LINUX_XPU)).probe().available
