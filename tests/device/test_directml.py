"""DirectML, faked."""

from __future__ import annotations

from types import SimpleNamespace

from modules.device.directml import DirectMlHandler
from tests.device.contract import HandlerContract, Untouchable
from tests.device.fakes import fake_directml, machine, timings


class TestDirectMl(HandlerContract):
    device = "privateuseone:0"
    present = machine("Windows", packages=("torch_directml",))
    absent = (
        machine("Windows", torch=None, packages=("torch_directml",)),
        machine("Windows"),
        machine("Linux", packages=("torch_directml",)),
    )
    out_of_memory = (
        RuntimeError("Could not allocate tensor with 268435456 bytes. There is not enough GPU video memory available!"),
    )

    def make(self, index=0, **changes):
        return DirectMlHandler(index, **({"backend": fake_directml(), "host": self.present} | changes))

    def test_the_name_loses_its_trailing_nul(self):
        assert self.make(1).name() == "Fake adapter 1"

    def test_waiting_and_emptying_reach_the_backend(self):
        handler = self.make(backend=Untouchable())  # DirectML has neither, so it must not be asked for them
        assert handler.synchronize() is handler.empty_cache() is None

    def test_it_tells_no_memory_figures(self):
        info = self.make().memory()
        assert info.total is None
        assert info.free is None

    def test_a_broken_package_is_a_reason(self):
        def fail():
            raise OSError("d3d12.dll is missing")

        seen = self.make(backend=SimpleNamespace(device_count=fail)).confirm()
        assert seen.reason == "DirectML does not start: d3d12.dll is missing"

    def test_types_it_cannot_do_are_not_chosen(self):
        assert self.make().decide(timings(None, 1.8)).best["denoiser"] == "float16"
