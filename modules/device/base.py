"""The contract of a device handler: one kind of hardware, and everything the rest of the house asks about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from modules.device.host import Host, look_around
from modules.device.measurement import DtypeTiming, Measure, measure_dtypes, recall, remember

GROUPS = ("denoiser", "text_encoder", "vae")
"""The parts of a model that are placed one by one."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A first look at the hardware. `available` may still prove wrong when torch confirms it."""

    available: bool
    reason: str
    """One sentence: why it is thought to be here, or what is missing."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DtypeReport:
    """Which precision to compute in, found by a real test. Names as torch writes them, e.g. `bfloat16`."""

    best: Mapping[str, str]
    """Per group of GROUPS."""
    large: Mapping[str, str]
    """The same for a model large enough that speed weighs more than precision (see `select.LARGE_MODEL`)."""
    usable: tuple[str, ...]
    """Finite, right and not hopelessly slow; fp32 first."""
    speed: Mapping[str, float]
    """Measured speed relative to fp32, larger is faster; only for types that were timed."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """Memory of the device in bytes; None where the backend does not tell."""

    total: int | None
    free: int | None
    """What a new allocation may take, memory that the allocator keeps for reuse included."""
    allocated: int | None = None
    """Held by live tensors of this process (on the CPU: the resident size of the process)."""
    reserved: int | None = None
    """Kept by the allocator, live or not."""
    peak: int | None = None
    """Most ever allocated by this process."""


class DeviceHandler(ABC):
    """One kind of hardware. Making one and calling `probe` is cheap; every other method may import torch.

    `index` picks one of several. `backend` is the module the handler talks to (torch, or the vendor's own), imported
    on first use unless it is given; tests give a faked one. Methods may be called from any thread.
    """

    id: ClassVar[str]
    """Short name, as `--device-id` takes it."""
    label: ClassVar[str]
    """Name for a person."""
    accelerator: ClassVar[bool] = True
    """It has memory of its own that models are moved into and out of."""
    attention_is_quadratic: ClassVar[bool] = False
    """No attention kernel that avoids the full score matrix, so memory grows with the square of the tokens."""

    def __init__(
        self, index: int = 0, *, backend: Any = None, host: Host | None = None, measure: Measure | None = None
    ) -> None:
        self.index = index
        self._given = backend
        self._host = host
        self._measure = measure
        self._report: DtypeReport | None = None

    @property
    def host(self) -> Host:
        """The machine the handler looks at."""
        if self._host is None:
            self._host = look_around()
        return self._host

    @property
    def backend(self) -> Any:
        """The module behind the handler: torch unless a subclass or the caller says otherwise."""
        if self._given is None:
            self._given = self._import()
        return self._given

    def _import(self) -> Any:
        import torch

        return torch

    def at(self, index: int) -> DeviceHandler:
        """The same kind of hardware, device number `index`, with the same backend."""
        return type(self)(index, backend=self._given, host=self._host, measure=self._measure)

    @abstractmethod
    def probe(self) -> Probe:
        """Look for the hardware without importing anything heavy."""

    @abstractmethod
    def confirm(self) -> Probe:
        """Ask the backend itself. Never raises; what it says is the reason."""

    @abstractmethod
    def torch_device(self) -> str:
        """The device string for torch, e.g. `cuda:0`."""

    @abstractmethod
    def name(self) -> str:
        """The name of this very device, e.g. `NVIDIA GeForce RTX 4090`."""

    def driver(self) -> str:
        """Version of the driver or runtime; part of the key under which measurements are remembered."""
        return "unknown"

    @abstractmethod
    def memory(self) -> MemoryInfo:
        """Figures of the device now."""

    def allocator(self) -> Mapping[str, int] | None:
        """Raw counters of torch's caching allocator, or None where there is none."""
        return None

    @abstractmethod
    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether this error of the backend means that memory ran out."""

    @abstractmethod
    def empty_cache(self) -> None:
        """Hand memory that no tensor uses back to the system."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all work given to the device is done."""

    @abstractmethod
    def attention_backends(self) -> tuple[str, ...]:
        """Names of diffusers' attention dispatcher that work here, best first. None of them downloads anything."""

    @abstractmethod
    def decide(self, timings: Mapping[str, DtypeTiming]) -> DtypeReport:
        """Choose precisions from what was measured."""

    def generator(self, seed: int) -> Any:
        """A `torch.Generator` on the CPU whatever the device, so that the same seed draws the same noise everywhere."""
        import torch

        return torch.Generator(device="cpu").manual_seed(seed)

    def dtypes(self, cache: Path | None = None) -> DtypeReport:
        """Measure each precision once with a small convolution and matrix product, and decide.

        The measurement is remembered in `cache`/device.json under the names of device, torch and driver.
        Raises what the backend raises when the device cannot compute at all.
        """
        if self._report is None:
            key = self.key()
            timings: Mapping[str, DtypeTiming] | None = recall(cache, key)
            if timings is None:
                timings = self._timings()
                remember(cache, key, timings)
            self._report = self.decide(timings)
        return self._report

    def key(self) -> str:
        """What a measurement holds for: this device with this torch and this driver."""
        build = self.host.torch
        version = build.version if build is not None else "none"
        return f"{self.id} | {self.name()} | torch {version} | {self.driver()}"

    def _timings(self) -> Mapping[str, DtypeTiming]:
        measure: Callable[..., Mapping[str, DtypeTiming]] = self._measure or measure_dtypes
        return measure(self.torch_device(), self.synchronize, large=self.accelerator)
