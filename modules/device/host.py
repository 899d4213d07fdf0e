"""What can be known of this machine without importing torch: files, programs, installed packages, the torch build."""

from __future__ import annotations

import ast
import importlib.util
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """What the installed torch was compiled for; None where it was not. Read from its version file, not imported."""

    version: str
    cuda: str | None = None
    hip: str | None = None
    xpu: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """The machine as the probes see it. Tests build their own; `look_around` describes the real one."""

    system: str
    """`Linux`, `Darwin` or `Windows`."""
    machine: str
    """`x86_64`, `arm64` and so on, as `platform.machine()` says it."""
    torch: TorchBuild | None
    exists: Callable[[str], bool] = lambda path: False
    """Whether a path exists."""
    which: Callable[[str], str | None] = lambda name: None
    """Where a program is, or None."""
    installed: Callable[[str], bool] = lambda name: False
    """Whether a top-level package is installed; it is not imported."""
    read: Callable[[str], str | None] = lambda path: None
    """The text of a small file, or None when it cannot be read."""


def look_around() -> Host:
    """Describe this machine. Cheap: nothing heavy is imported and no program is started."""
    return Host(
        system=platform.system(),
        machine=platform.machine(),
        torch=find_torch(),
        exists=lambda path: Path(path).exists(),
        which=shutil.which,
        installed=lambda name: importlib.util.find_spec(name) is not None,
        read=_read,
    )


def find_torch() -> TorchBuild | None:
    """The installed torch build, or None. Its `version.py` holds constants only, so it is parsed and never run."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = _read(str(Path(spec.origin).with_name("version.py")))
    return parse_build(text) if text else TorchBuild("unknown")


def parse_build(text: str) -> TorchBuild:
    """The build from the text of torch's `version.py`."""
    found: dict[str, str] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            name, value = node.target.id, node.value
        else:
            continue
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found[name] = value.value
    version = found.get("__version__", "unknown")
    return TorchBuild(version, found.get("cuda"), found.get("hip"), found.get("xpu"))


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return None
