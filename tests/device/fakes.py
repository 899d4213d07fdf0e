"""Backends that are not here, faked as far as the handlers talk to them, and machines for the probes to look at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from modules.device.host import Host, TorchBuild
from modules.device.measurement import DtypeTiming

GIB = 1 << 30
LINUX_CUDA = TorchBuild("2.15.0+cu132", cuda="13.2")
LINUX_ROCM = TorchBuild("2.15.0+rocm7.2", hip="7.2")
LINUX_XPU = TorchBuild("2.15.0+xpu", xpu="20260000")
PLAIN = TorchBuild("2.15.0")


def machine(system="Linux", arch="x86_64", torch=PLAIN, files=(), programs=(), packages=()) -> Host:
    """A machine with these files, programs and packages and nothing else."""
    return Host(
        system=system,
        machine=arch,
        torch=torch,
        exists=lambda path: path in files,
        which=lambda name: f"/usr/bin/{name}" if name in programs else None,
        installed=lambda name: name in packages,
        read=lambda path: f"text of {path}" if path in files else None,
    )


class FakeOutOfMemoryError(RuntimeError):
    """Stands for `torch.OutOfMemoryError`."""


class FakeSpace:
    """`torch.cuda` or `torch.xpu` of a machine with some devices of 24 GiB, 10 of them free."""

    def __init__(self, count: int = 1, name: str = "Fake GPU") -> None:
        self.count, self.name = count, name
        self.calls: list[Any] = []

    def is_available(self):
        return self.count > 0

    def device_count(self):
        return self.count

    def get_device_name(self, index):
        return f"{self.name} {index}"

    def get_device_properties(self, index):
        return SimpleNamespace(driver_version=f"1.2.{index}")

    def mem_get_info(self, index):
        return 10 * GIB, 24 * GIB

    def memory_allocated(self, index):
        return 3 * GIB

    def memory_reserved(self, index):
        return 5 * GIB

    def max_memory_allocated(self, index):
        return 7 * GIB

    def memory_stats(self, index):
        groups = ("active_bytes", "allocated_bytes", "reserved_bytes", "inactive_split_bytes")
        stats = {
            f"{group}.all.{moment}": number for number, group in enumerate(groups) for moment in ("current", "peak")
        }
        return stats | {"num_alloc_retries": 4, "num_ooms": 5}

    def empty_cache(self):
        self.calls.append("empty_cache")

    def synchronize(self, index):
        self.calls.append(("synchronize", index))


def fake_torch(space: FakeSpace | None = None, *, cuda=None, hip=None) -> Any:
    """A torch whose accelerator namespaces are all `space`."""
    return SimpleNamespace(
        __version__="2.15.0",
        version=SimpleNamespace(cuda=cuda, hip=hip),
        OutOfMemoryError=FakeOutOfMemoryError,
        cuda=space or FakeSpace(),
        xpu=space or FakeSpace(),
    )


class FakeMps:
    """`torch.mps` with 16 GiB to use."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def recommended_max_memory(self):
        return 16 * GIB

    def driver_allocated_memory(self):
        return 6 * GIB

    def current_allocated_memory(self):
        return 4 * GIB

    def empty_cache(self):
        self.calls.append("empty_cache")

    def synchronize(self):
        self.calls.append("synchronize")


def fake_mps_torch(built: bool = True, available: bool = True) -> Any:
    """A torch on a Mac."""
    backends = SimpleNamespace(mps=SimpleNamespace(is_built=lambda: built, is_available=lambda: available))
    return SimpleNamespace(__version__="2.15.0", mps=FakeMps(), backends=backends)


def fake_directml(count: int = 2) -> Any:
    """The package `torch_directml`."""
    return SimpleNamespace(
        device_count=lambda: count,
        device_name=lambda index: f"Fake adapter {index}\x00",
        device=lambda index: f"privateuseone:{index}",
    )


def timings(bf16: float | None, fp16: float | None) -> dict[str, DtypeTiming]:
    """Measurements with these speeds relative to fp32; None is a type that does not work."""

    def one(speed):
        return DtypeTiming(False, None, "is not supported") if speed is None else DtypeTiming(True, speed)

    return {"float32": DtypeTiming(True, 1.0), "bfloat16": one(bf16), "float16": one(fp16)}


def measured(result, calls=None):
    """A measurement that gives `result`, or raises it when it is an error; `calls` hears of each run."""

    def measure(device, synchronize, *, large):
        if calls is not None:
            calls.append((device, large))
        if isinstance(result, BaseException):
            raise result
        return result

    return measure
