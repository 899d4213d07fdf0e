"""What every handler has to do, as a mixin: a class that says how to make the handler brings the whole battery."""

from __future__ import annotations

from modules.device.base import GROUPS, DeviceHandler
from tests.device.fakes import measured, timings


class Untouchable:
    """A backend that must not be asked for anything."""

    def __getattr__(self, name):
        raise AssertionError(f"the backend was asked for {name}")


class HandlerContract:
    """Give `make(index, **changes)`, the out-of-memory errors of the backend, and machines with and without it."""

    out_of_memory: tuple[BaseException, ...] = ()
    device = "cpu"
    present = None
    absent = ()
    reached = (("synchronize", 0), "empty_cache")
    """What the backend sees when it is waited for and then emptied."""

    def make(self, index: int = 0, **changes) -> DeviceHandler:
        raise NotImplementedError

    def test_the_probe_finds_it_where_it_is_and_says_why(self):
        seen = self.make(host=self.present).probe()
        assert seen.available
        assert seen.reason.endswith(".")

    def test_the_probe_says_what_is_missing(self):
        for host in self.absent:
            seen = self.make(host=host).probe()
            assert not seen.available
            assert seen.reason.endswith(".")

    def test_the_probe_touches_no_backend(self):
        assert self.make(backend=Untouchable(), host=self.present).probe().available

    def test_confirmation_speaks_for_the_device_and_refuses_one_that_is_not_there(self):
        assert self.make(host=self.present).confirm().available
        refused = self.make(97, host=self.present).confirm()
        assert not refused.available
        assert "97" in refused.reason

    def test_the_device_string(self):
        assert self.make().torch_device() == self.device

    def test_memory_running_out_is_recognised_and_other_errors_are_not(self):
        handler = self.make()
        assert self.out_of_memory
        for error in self.out_of_memory:
            assert handler.is_out_of_memory(error), error
        for error in (
            RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
            ValueError("out of memory"),
            KeyError("x"),
        ):
            assert not handler.is_out_of_memory(error), error

    def test_memory_figures_make_sense(self):
        info = self.make().memory()
        if info.total is not None:
            assert 0 <= info.free <= info.total

    def test_noise_comes_from_the_cpu_and_from_the_seed(self):
        import torch

        one, two = self.make().generator(5), self.make().generator(5)
        assert one.device == torch.device("cpu")
        assert torch.equal(torch.randn(4, generator=one), torch.randn(4, generator=two))

    def test_attention_begins_with_torchs_own_and_knows_only_names_of_diffusers(self):
        from diffusers.models.attention_dispatch import AttentionBackendName

        names = self.make(host=self.present).attention_backends()
        assert names[0] == "native"
        assert len(set(names)) == len(names)
        assert set(names) <= {name.value for name in AttentionBackendName}
        assert not [name for name in names if name.endswith("_hub")], "nothing may be downloaded"

    def test_every_group_gets_a_usable_precision_whatever_was_measured(self):
        for found in (timings(2, 2), timings(None, 2), timings(2, None), timings(None, None), timings(0.3, 0.2)):
            report = self.make().decide(found)
            for choice in (report.best, report.large):
                assert set(choice) == set(GROUPS)
                assert set(choice.values()) <= set(report.usable)

    def test_a_measurement_is_made_once_and_remembered(self, tmp_path):
        calls = []
        for _ in range(2):
            handler = self.make(host=self.present, measure=measured(timings(2, 2), calls))
            first = handler.dtypes(tmp_path)
            assert handler.dtypes(tmp_path) is first
        assert calls == [(self.device, handler.accelerator)]

    def test_waiting_and_emptying_reach_the_backend(self):
        handler = self.make()
        handler.synchronize()
        handler.empty_cache()
        assert handler.space.calls == list(self.reached)
