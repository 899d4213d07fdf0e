"""Which hardware draws, and where each part of a model goes. A test decides, and every reason is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.bootstrap.options import DeviceOptions
from modules.contracts.errors import DeviceUnavailable
from modules.contracts.plan import Placement
from modules.device.accelerator import BACKEND_ERRORS, describe
from modules.device.base import GROUPS, DeviceHandler, DtypeReport
from modules.device.cpu import CpuHandler
from modules.device.cuda import CudaHandler
from modules.device.directml import DirectMlHandler
from modules.device.mps import MpsHandler
from modules.device.rocm import RocmHandler
from modules.device.xpu import XpuHandler

log = logging.getLogger(__name__)

LARGE_MODEL = 1 << 30
"""Bytes of weights from which a model counts as large: SD 1.5 is, the pocket model is not."""
_PART_OF_GROUP = {"denoiser": "sd", "text_encoder": "text", "vae": "vae"}
"""What `--use-cpu` calls the groups."""
_UPSCALERS = "upscale"
"""What it calls upscalers, which are no part of a model and are placed by whoever loads them."""


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """The outcome: one handler, and where each group of components goes."""

    handler: DeviceHandler
    placements: Mapping[str, Placement]
    """Per group of GROUPS, for a model of ordinary size. `placement_for` gives the final word for one model."""
    reasons: tuple[str, ...]
    """Sentences in the order in which they were found."""
    large: Mapping[str, Placement]
    """Per group, for a model of at least LARGE_MODEL bytes."""
    cpu: DeviceHandler
    """The CPU, for the parts that were sent there and for work that needs no accelerator."""
    report: DtypeReport
    """What the precision test of `handler` found."""


def default_handlers() -> tuple[DeviceHandler, ...]:
    """All kinds of hardware in order of preference; the CPU is last."""
    return (CudaHandler(), RocmHandler(), XpuHandler(), MpsHandler(), DirectMlHandler(), CpuHandler())


def choose(
    options: DeviceOptions, cache: Path | None = None, handlers: Sequence[DeviceHandler] | None = None
) -> DeviceChoice:
    """Find the device to draw on and test it. Imports torch.

    Without `--device-id` the first handler that is found, confirmed and passes the precision test wins, and what
    failed before it is a reason. With it nothing else is tried. Raises `DeviceUnavailable` when none is left.
    """
    known = tuple(handlers) if handlers is not None else default_handlers()
    candidates = _wanted(options, known)
    reasons: list[str] = []
    for handler in candidates:
        report = _try(handler, cache, reasons)
        if report is not None:
            return _settle(options, handler, report, known, cache, reasons)
    wish = f" {options.device_id!r}" if options.device_id else ""
    raise DeviceUnavailable(f"The device{wish} cannot be used: {' '.join(reasons)} Known are {_names(known)}.")


def placement_for(choice: DeviceChoice, model_bytes: int) -> Mapping[str, Placement]:
    """Final device and precision per group for a model whose weights are `model_bytes` on disk.

    On a CPU a large model takes the faster half precision if the test showed that it pays; a small one stays exact.
    """
    return choice.large if model_bytes >= LARGE_MODEL else choice.placements


def _names(handlers: Sequence[DeviceHandler]) -> str:
    return ", ".join(handler.id for handler in handlers)


def _wanted(options: DeviceOptions, known: Sequence[DeviceHandler]) -> list[DeviceHandler]:
    """The handlers to try, in order."""
    if "all" in options.use_cpu:
        return [handler for handler in known if handler.id == "cpu"]
    if options.device_id is None:
        return list(known)
    name, _, number = options.device_id.strip().lower().partition(":")
    if name.isdigit() and not number:
        # A bare number is what A1111 takes: that device of whatever accelerator there is.
        return [handler.at(int(name)) for handler in known if handler.accelerator]
    found = [handler for handler in known if handler.id == name]
    if not found or (number and not number.isdigit()):
        raise DeviceUnavailable(
            f"There is no device {options.device_id!r}; known are {_names(known)}, with a number as in cuda:1."
        )
    return [handler.at(int(number or 0)) for handler in found]


def _try(handler: DeviceHandler, cache: Path | None, reasons: list[str]) -> DtypeReport | None:
    """Probe, confirm and test one handler; None with a reason when it is not usable."""
    for look in (handler.probe, handler.confirm):
        seen = look()
        if not seen.available:
            reasons.append(f"{handler.label}: {seen.reason}")
            return None
    try:
        report = handler.dtypes(cache)
    except BACKEND_ERRORS as error:
        reasons.append(f"{handler.label}: {handler.name()} is there but fails the test: {describe(error)}.")
        return None
    if "float32" not in report.usable:
        reasons.append(f"{handler.label}: {handler.name()} is there but computes wrongly in fp32.")
        return None
    return report


def _settle(
    options: DeviceOptions,
    handler: DeviceHandler,
    report: DtypeReport,
    known: Sequence[DeviceHandler],
    cache: Path | None,
    reasons: list[str],
) -> DeviceChoice:
    reasons.append(f"{handler.label}: {handler.name()} was chosen.")
    reasons.extend(f"{handler.label}: {reason}." for reason in report.reasons)
    cpu = handler if handler.id == "cpu" else next((one for one in known if one.id == "cpu"), CpuHandler())
    here: dict[str, Placement] = {}
    large: dict[str, Placement] = {}
    for group in GROUPS:
        on_cpu = _PART_OF_GROUP[group] in options.use_cpu and handler.id != "cpu"
        place = cpu if on_cpu else handler
        dtypes = cpu.dtypes(cache) if on_cpu else report
        if on_cpu:
            reasons.append(f"--use-cpu {_PART_OF_GROUP[group]}: the {group} goes to the CPU.")
        exact = options.no_half
        here[group] = Placement(place.torch_device(), "float32" if exact else dtypes.best[group])
        large[group] = Placement(place.torch_device(), "float32" if exact else dtypes.large[group])
    if options.no_half:
        reasons.append("--no-half: everything is computed in fp32.")
    if _UPSCALERS in options.use_cpu and handler.id != "cpu":
        reasons.append(f"--use-cpu {_UPSCALERS}: upscalers that are models go to the CPU.")
    for part in sorted(options.use_cpu - {"all", _UPSCALERS, *_PART_OF_GROUP.values()}):
        reasons.append(f"--use-cpu {part}: it changes nothing; this version has no such work.")
    for reason in reasons:
        log.info("%s", reason)
    return DeviceChoice(handler, here, tuple(reasons), large, cpu, report)
