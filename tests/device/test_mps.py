"""Apple GPUs, faked."""

from __future__ import annotations

from modules.device.mps import MpsHandler
from tests.device.contract import HandlerContract
from tests.device.fakes import GIB, fake_mps_torch, machine, timings


class TestMps(HandlerContract):
    device = "mps"
    present = machine("Darwin", "arm64")
    absent = (machine("Darwin", "arm64", torch=None), machine("Darwin", "x86_64"), machine("Linux", "arm64"))
    reached = ("synchronize", "empty_cache")
    out_of_memory = (
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB, max allowed: 9.07 GB)"),
        RuntimeError("Invalid buffer size: 32.00 GB"),
    )

    def make(self, index=0, **changes):
        return MpsHandler(index, **({"backend": fake_mps_torch(), "host": self.present} | changes))

    def test_memory_is_what_metal_recommends_less_what_is_in_use(self):
        info = self.make().memory()
        assert (info.total, info.free, info.allocated, info.reserved) == (16 * GIB, 12 * GIB, 4 * GIB, 6 * GIB)

    def test_a_build_without_metal_and_an_old_system_are_told_apart(self):
        assert "built without" in self.make(backend=fake_mps_torch(built=False)).confirm().reason
        assert "too old" in self.make(backend=fake_mps_torch(available=False)).confirm().reason

    def test_fp16_keeps_the_vae_in_fp32(self):
        report = self.make().decide(timings(None, 1.1))
        assert report.best == {"denoiser": "float16", "text_encoder": "float16", "vae": "float32"}

    def test_attention_takes_the_square_of_the_tokens(self):
        assert MpsHandler.attention_is_quadratic
