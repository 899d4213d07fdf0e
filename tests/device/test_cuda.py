"""NVIDIA GPUs, faked."""

from __future__ import annotations

import pytest

from modules.device.cuda import CudaHandler
from tests.device.contract import HandlerContract
from tests.device.fakes import (
    GIB,
    LINUX_CUDA,
    LINUX_ROCM,
    FakeOutOfMemoryError,
    FakeSpace,
    fake_torch,
    machine,
    timings,
)


class TestCuda(HandlerContract):
    device = "cuda:0"
    present = machine(torch=LINUX_CUDA, files=("/proc/driver/nvidia/version",))
    absent = (
        machine(torch=None),
        machine(torch=LINUX_ROCM, files=("/dev/nvidia0",)),
        machine(torch=LINUX_CUDA, files=("/dev/kfd",)),
    )
    out_of_memory = (
        FakeOutOfMemoryError("anything"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    )

    def make(self, index=0, **changes):
        return CudaHandler(
            index, **({"backend": fake_torch(FakeSpace(2), cuda="13.2"), "host": self.present} | changes)
        )

    def test_a_second_gpu_has_its_own_name_and_string(self):
        handler = self.make().at(1)
        assert handler.torch_device() == "cuda:1"
        assert handler.name() == "Fake GPU 1"

    def test_nvidia_smi_is_a_sign_too(self):
        assert self.make(host=machine("Windows", torch=LINUX_CUDA, programs=("nvidia-smi",))).probe().available

    def test_a_rocm_build_is_refused(self):
        seen = self.make(backend=fake_torch(hip="7.2")).confirm()
        assert not seen.available
        assert "ROCm 7.2" in seen.reason

    def test_a_driver_that_does_not_start_is_a_reason_and_no_crash(self):
        class Broken(FakeSpace):
            def is_available(self):
                raise RuntimeError("CUDA driver version is insufficient\nlong text")

        seen = self.make(backend=fake_torch(Broken(), cuda="13.2")).confirm()
        assert seen.reason == "NVIDIA CUDA does not start: CUDA driver version is insufficient"

    def test_no_device_is_a_reason(self):
        assert not self.make(backend=fake_torch(FakeSpace(0), cuda="13.2")).confirm().available

    def test_memory_that_the_allocator_keeps_counts_as_free(self):
        info = self.make().memory()
        assert (info.total, info.free) == (24 * GIB, 12 * GIB)
        assert (info.allocated, info.reserved, info.peak) == (3 * GIB, 5 * GIB, 7 * GIB)

    def test_the_driver_is_part_of_the_key(self):
        assert "text of /proc/driver/nvidia/version CUDA 13.2" in self.make().key()

    def test_calls_reach_the_right_device(self):
        space = FakeSpace(2)
        handler = self.make(1, backend=fake_torch(space, cuda="13.2"))
        handler.synchronize()
        handler.empty_cache()
        assert space.calls == [("synchronize", 1), "empty_cache"]

    @pytest.mark.parametrize(
        ("bf16", "fp16", "denoiser", "vae"),
        [
            (3.0, 3.0, "bfloat16", "bfloat16"),
            (2.4, 3.0, "bfloat16", "bfloat16"),
            # Emulated bf16, as on Turing: right, but slow.
            (0.4, 3.0, "float16", "float32"),
            (None, 3.0, "float16", "float32"),
            (None, None, "float32", "float32"),
        ],
    )
    def test_precision_follows_what_was_measured(self, bf16, fp16, denoiser, vae):
        report = self.make().decide(timings(bf16, fp16))
        assert report.best == {"denoiser": denoiser, "text_encoder": denoiser, "vae": vae}
        assert report.reasons

    def test_installed_attention_packages_are_offered_and_quantised_ones_come_last(self):
        host = machine(torch=LINUX_CUDA, packages=("flash_attn", "sageattention"))
        names = self.make(host=host).attention_backends()
        assert "flash" in names
        assert "xformers" not in names
        assert names[-1] == "sage"
