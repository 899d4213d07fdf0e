"""The real test of a precision: a small convolution and a matrix product, checked against fp32 and timed.

Names say little: fp16 is two orders of magnitude slower than fp32 on many CPUs, bf16 is emulated on older GPUs, and
both are listed as supported. So each type is tried once and the result is remembered.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from modules.support.atomic import write_text

log = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
TOLERANCE = {"float32": 5e-3, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest lawful error relative to the largest value; fp32 leaves room for TF32."""
HOPELESS = 8.0
"""A type this many times slower than fp32 is not tried any longer."""
REPEATS = 6
SECONDS = 0.4
"""Time spent on repeating one type; the first call, which compiles or loads kernels, is not counted."""
_FILE = "device.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class DtypeTiming:
    """What one precision did. `speed` is relative to fp32, larger is faster; None when it was not timed."""

    works: bool
    speed: float | None = None
    problem: str | None = None
    """Why it does not work or is of no use, as a few words."""


class Measure(Protocol):
    """A measurement of all types on one device."""

    def __call__(self, device: str, synchronize: Callable[[], None], *, large: bool) -> Mapping[str, DtypeTiming]: ...


class Workload(Protocol):
    """One computation in a given precision; returns the largest error relative to the reference, NaN if not finite."""

    def __call__(self, dtype: str) -> float: ...


def measure_dtypes(
    device: str,
    synchronize: Callable[[], None],
    *,
    large: bool,
    workload: Workload | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, DtypeTiming]:
    """Try every type of DTYPES on `device`. `large` takes a bigger task, so that launch overhead does not hide speed.

    Bounded: about a second on a device that can do all types. Raises what torch raises when even fp32 fails.
    """
    work = workload or TorchWorkload(device, synchronize, large)
    results: dict[str, DtypeTiming] = {}
    base: float | None = None
    for dtype in DTYPES:
        try:
            error = work(dtype)
        except RuntimeError as problem:
            if dtype == "float32":
                raise
            results[dtype] = DtypeTiming(False, None, str(problem).splitlines()[0][:200])
            continue
        if not error <= TOLERANCE[dtype]:
            results[dtype] = DtypeTiming(False, None, _wrong(error))
            continue
        seconds = _time(work, dtype, clock, base)
        base = seconds if dtype == "float32" else base
        speed = base / seconds if base else 1.0
        slow = speed < 1 / HOPELESS
        results[dtype] = DtypeTiming(not slow, speed, f"{1 / speed:.0f} times slower than fp32" if slow else None)
    return results


def _wrong(error: float) -> str:
    return "gives values that are not finite" if error != error else f"is wrong by {error:.2g} of the largest value"


def _time(work: Workload, dtype: str, clock: Callable[[], float], base: float | None) -> float:
    """Seconds of the best of several runs; stops early when the type is hopeless or the time is spent."""
    best, spent = float("inf"), 0.0
    for _ in range(REPEATS):
        start = clock()
        work(dtype)
        took = clock() - start
        best, spent = min(best, took), spent + took
        if spent > SECONDS or (base is not None and best > base * HOPELESS):
            break
    return max(best, 1e-9)


class TorchWorkload:
    """A 3×3 convolution and a product of its output with itself, compared with the same on the CPU in fp32."""

    def __init__(self, device: str, synchronize: Callable[[], None], large: bool) -> None:
        import torch

        self._torch, self._device, self._synchronize = torch, device, synchronize
        channels, side = (256, 64) if large else (128, 32)
        generator = torch.Generator().manual_seed(7)
        picture = torch.randn(1, channels, side, side, generator=generator)
        kernel = torch.randn(channels, channels, 3, 3, generator=generator) / (channels * 9) ** 0.5
        self._reference = self._compute(picture, kernel)
        self._inputs: dict[str, tuple[Any, Any]] = {}
        self._source = (picture, kernel)

    def _compute(self, picture: Any, kernel: Any) -> Any:
        with self._torch.inference_mode():
            maps = self._torch.nn.functional.conv2d(picture, kernel, padding=1).flatten(2)[0]
            return maps @ maps.T / maps.shape[1]

    def __call__(self, dtype: str) -> float:
        """Run once and wait for the end; the error relative to the largest value of the reference."""
        if dtype not in self._inputs:
            kind = getattr(self._torch, dtype)
            picture, kernel = self._source
            self._inputs[dtype] = (picture.to(self._device, kind), kernel.to(self._device, kind))
        result = self._compute(*self._inputs[dtype])
        self._synchronize()
        found = result.float().cpu()
        return float((found - self._reference).abs().max() / self._reference.abs().max())


def recall(cache: Path | None, key: str) -> dict[str, DtypeTiming] | None:
    """An earlier measurement, or None. A file that cannot be read counts as none."""
    if cache is None:
        return None
    entry = _load(cache).get(key)
    try:
        return {name: DtypeTiming(**fields) for name, fields in entry.items()} if entry else None
    except (TypeError, AttributeError):
        return None


def remember(cache: Path | None, key: str, timings: Mapping[str, DtypeTiming]) -> None:
    """Keep a measurement beside those of other devices."""
    if cache is None:
        return
    devices = _load(cache)
    devices[key] = {name: asdict(timing) for name, timing in timings.items()}
    write_text(cache / _FILE, json.dumps({"format": _FORMAT, "devices": devices}, indent=2) + "\n")


def _load(cache: Path) -> dict[str, Any]:
    path = cache / _FILE
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text("utf-8"))
        devices = stored["devices"] if stored["format"] == _FORMAT else {}
        return devices if isinstance(devices, dict) else {}
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s could not be read (%s); precisions are measured again", _FILE, error)
        return {}
