"""The stamp in `.venv`: which locks are installed there, and for which Python. Written last, so it never lies.

A start compares the stamp with the lock files and, when they agree, asks nothing else: no process, no network.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from modules.bootstrap.environment import Environment

CORE = "core"
FORMAT = 1


def lock_file(root: Path, name: str) -> Path:
    """The lock of the core, or of an extra; an extra's lock holds the core as well."""
    return root / ("requirements.txt" if name == CORE else f"requirements-{name}.txt")


def fingerprint(environment: Environment, name: str) -> str:
    """What has to be in the stamp for that lock: a digest of its lines that matter and of the Python version."""
    lines = lock_file(environment.root, name).read_text(encoding="utf-8").splitlines()
    pins = sorted(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return hashlib.sha256("\n".join([str(FORMAT), environment.python_version(), *pins]).encode()).hexdigest()


def path(environment: Environment) -> Path:
    """Where the stamp is."""
    return environment.folder / "atelier-stamp.json"


def read(environment: Environment) -> dict[str, str]:
    """Installed locks and their fingerprints; empty when there is no stamp or it cannot be read."""
    try:
        found = json.loads(path(environment).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def missing(environment: Environment, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the locks that are not installed as they are now. Touches three small files and no network."""
    if environment.marker.exists() or not environment.python.exists():
        return names
    installed = read(environment)
    return tuple(name for name in names if installed.get(name) != fingerprint(environment, name))


def write(environment: Environment, names: tuple[str, ...]) -> None:
    """Adds the locks to the stamp, atomically. A lock whose pins have changed since it was installed falls out."""
    kept = {
        name: mark
        for name, mark in read(environment).items()
        if lock_file(environment.root, name).exists() and fingerprint(environment, name) == mark
    }
    kept.update((name, fingerprint(environment, name)) for name in names)
    final = path(environment)
    fresh = final.with_suffix(f".{os.getpid()}.tmp")
    with fresh.open("w", encoding="utf-8") as stream:
        json.dump(kept, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(final)
