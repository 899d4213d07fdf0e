"""The CPU: faked for decisions, real for figures."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modules.device.cpu import CpuHandler
from tests.device.contract import HandlerContract
from tests.device.fakes import machine, timings


def fake_torch(threads=4):
    cpu = SimpleNamespace(get_cpu_capability=lambda: "AVX512")
    return SimpleNamespace(__version__="2.15.0", backends=SimpleNamespace(cpu=cpu), get_num_threads=lambda: threads)


class TestCpu(HandlerContract):
    device = "cpu"
    present = machine()
    absent = (machine(torch=None),)
    out_of_memory = (
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 64000000000 bytes."),
    )

    def make(self, index=0, **changes):
        return CpuHandler(index, **({"backend": fake_torch(), "host": self.present} | changes))

    def test_waiting_and_emptying_reach_the_backend(self, monkeypatch):
        trimmed = []
        monkeypatch.setattr("modules.device.cpu.trim_heap", lambda: trimmed.append(True))
        monkeypatch.setattr("modules.device.cpu.sys.platform", "linux")
        linux = self.make()
        linux.synchronize()
        assert trimmed == []
        linux.empty_cache()
        assert trimmed == [True]

    def test_a_fast_bf16_is_for_large_models_only_and_never_for_the_decoder(self):
        report = self.make().decide(timings(2.0, 0.01))
        assert set(report.best.values()) == {"float32"}
        assert report.large == {"denoiser": "bfloat16", "text_encoder": "bfloat16", "vae": "float32"}

    @pytest.mark.parametrize("bf16", [1.4, 0.2, None])
    def test_a_small_gain_is_no_reason_to_leave_fp32(self, bf16):
        assert set(self.make().decide(timings(bf16, None)).large.values()) == {"float32"}

    def test_the_measurement_is_exposed(self):
        report = self.make().decide(timings(2.0, 0.5))
        assert report.speed == {"float32": 1.0, "bfloat16": 2.0, "float16": 0.5}
        assert report.usable == ("float32", "bfloat16", "float16")

    def test_the_number_of_threads_is_part_of_the_key(self):
        assert self.make().key() != self.make(backend=fake_torch(8)).key()

    def test_the_name_comes_from_the_system_where_it_tells(self):
        host = machine()
        named = type(host)(
            system="Linux", machine="x86_64", torch=host.torch, read=lambda path: "model name\t: Fake 9000\n"
        )
        assert self.make(host=named).name() == "Fake 9000"

    def test_the_real_allocator_says_out_of_memory_as_expected(self):
        import torch

        with pytest.raises(RuntimeError) as caught:
            torch.empty(1 << 60, dtype=torch.uint8)
        assert self.make().is_out_of_memory(caught.value)
