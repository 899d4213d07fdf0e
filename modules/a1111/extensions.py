"""A1111's `modules.extensions`: which extensions are at work."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from modules.a1111.importing import PREFIX


@dataclass(frozen=True, slots=True)
class Extension:
    """One that is loaded."""

    name: str
    path: str
    enabled: bool = True


def active() -> list[Extension]:
    """Those that are loaded, by name; single files are none."""
    found = {}
    for name, package in list(sys.modules.items()):
        if name.startswith(PREFIX) and "." not in name:
            folder = Path(next(iter(package.__path__)))
            if (folder / "scripts").is_dir():
                found[folder.name] = Extension(folder.name, str(folder))
    return [found[name] for name in sorted(found)]
