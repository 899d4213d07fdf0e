"""What the doctor looks at, one function per subject. Every look survives the absence of what it looks for."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.bootstrap import stamp
from modules.bootstrap.environment import Environment
from modules.bootstrap.options import ROOT, Options
from modules.cli import browser
from modules.contracts.errors import StudioError

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "gradio", "fastapi", "pillow", "numpy")
"""Packages whose versions matter when something goes wrong."""

EXTRAS = {
    "test": "the checks and tests (launch.py test installs it)",
    "postgres": "jobs, gallery and accounts in a PostgreSQL server (--database-url)",
    "quant": "quantised weights",
    "redis": "counters for limits in a Redis or Valkey server (--counters-url)",
    "socketio": "events by Socket.IO, as IOPaint's page hears them",
    "upscale": "upscalers that are models (spandrel)",
    "video": "films as MP4 (PyAV)",
}
"""Extras that have a lock, and what each is for."""

LITTLE_DISK = 10 * 2**30
"""Free bytes below which the doctor speaks up: a large model and its pictures no longer fit."""

LITTLE_MEMORY = 4 * 2**30
"""Free bytes of memory below which an SD 1.5 model in 32 bits no longer fits."""

Findings = list[dict[str, str]]


def system() -> dict[str, Any]:
    """Operating system, interpreter and processor."""
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count() or 0,
        "python": platform.python_version(),
        "executable": sys.executable,
    }


def environment(root: Path = ROOT) -> dict[str, Any]:
    """Whether `.venv` holds what the locks say, lock by lock."""
    env = Environment(root)
    extras = [name for name in EXTRAS if stamp.lock_file(root, name).exists()]
    missing = stamp.missing(env, (stamp.CORE, *extras))
    return {
        "folder": str(env.folder),
        "python": env.python_version(),
        "core": stamp.CORE not in missing,
        "extras": {name: name not in missing for name in extras},
        "cut_short": env.marker.exists(),
    }


def packages() -> dict[str, str | None]:
    """Versions of PACKAGES; None for one that this interpreter does not have."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def hardware(options: Options) -> dict[str, Any]:
    """What the device handlers found and chose, with their reasons; `problem` says why nothing could be found."""
    try:
        from modules.device.report import hardware_report
        from modules.device.select import choose
    except ImportError as error:
        return {"problem": f"the hardware cannot be examined without {error.name}"}
    try:
        found = dict(hardware_report(choose(options.device, options.paths.data_dir / "cache")))
    except StudioError as error:
        return {"problem": error.message}
    return {**found, "attention_wanted": options.device.attention}


def memory() -> dict[str, int]:
    """Total and free main memory in bytes; empty when the system does not tell."""
    try:
        import psutil
    except ImportError:
        return {}
    found = psutil.virtual_memory()
    return {"total": int(found.total), "free": int(found.available)}


def disk(options: Options) -> dict[str, dict[str, int | str]]:
    """Free and total bytes where data and models are kept. A folder that is not there yet counts as its parent."""
    places = {"data": options.paths.data_dir, "models": options.paths.models_dir}
    return {name: {"folder": str(path), **_free(path)} for name, path in places.items()}


def _free(path: Path) -> dict[str, int]:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(there)
    return {"total": usage.total, "free": usage.free}


def models(options: Options) -> dict[str, Any]:
    """Number of weight files in the models folder, and where the embedded model is; None when it is not there."""
    embedded = ROOT / "models" / "pocket"
    endings = (".safetensors", ".gguf", ".ckpt", ".pt", ".bin")
    count = sum(path.suffix in endings for path in options.paths.models_dir.rglob("*"))
    return {"files": count, "pocket": str(embedded) if (embedded / "model_index.json").exists() else None}


def programs() -> dict[str, str | None]:
    """Programs beside Python that some parts use, and where they are."""
    return {"git": shutil.which("git"), "browser": browser.find()}


def findings(report: dict[str, Any]) -> Iterator[dict[str, str]]:
    """What is missing or short, each with the way to get it."""
    place = report["environment"]
    if not place["core"]:
        how = "was cut short" if place["cut_short"] else "is not installed as the lock says"
        yield _finding(f"The environment {place['folder']} {how}.", "python launch.py")
    for name, is_there in place["extras"].items():
        if not is_there:
            command = "test" if name == "test" else f"--extra {name}"
            yield _finding(f"The extra '{name}' is not installed: {EXTRAS[name]}.", f"python launch.py {command}")
    for name, version in report["packages"].items():
        if version is None and place["core"]:
            yield _finding(f"The package {name} is not in the environment.", "delete .venv, then python launch.py")
    yield from _about_hardware(report["hardware"])
    for name, space in report["disk"].items():
        if space["free"] < LITTLE_DISK:
            yield _finding(
                f"Only {space['free'] / 2**30:.1f} GiB are free for {name}.", f"--{name}-dir on another disk"
            )
    if report["memory"] and report["memory"]["free"] < LITTLE_MEMORY:
        free = report["memory"]["free"] / 2**30
        yield _finding(f"Only {free:.1f} GiB of memory are free.", "close other programs, or use --medvram")
    if report["models"]["pocket"] is None:
        yield _finding(
            "The embedded model is not there.", "git checkout models/pocket, or python launch.py pocket train"
        )
    if report["programs"]["browser"] is None:
        yield _finding("No Chromium was found; the browser tests need one.", browser.ADVICE)


def _about_hardware(found: dict[str, Any]) -> Iterator[dict[str, str]]:
    if "problem" in found:
        yield _finding(f"No device: {found['problem'].rstrip('.')}.", "python launch.py, or another --device-id")
        return
    wanted = found.get("attention_wanted")
    if wanted and wanted not in found["attention"]:
        offered = ", ".join(found["attention"])
        yield _finding(f"The attention {wanted!r} is not available on this device.", f"--attention, one of {offered}")


def _finding(what: str, how: str) -> dict[str, str]:
    return {"what": what, "how": how}
