"""A1111's `modules.paths`."""

from __future__ import annotations

from typing import Any

from modules.a1111.house import HOUSE


def __getattr__(name: str) -> Any:
    """The studio's folders under A1111's names, as texts."""
    paths = HOUSE.services.paths
    known = {
        "script_path": paths.root,
        "data_path": paths.data,
        "models_path": paths.models,
        "extensions_dir": paths.root / "extensions",
        "extensions_builtin_dir": paths.root / "extensions-builtin",
        "cwd": paths.root,
    }
    if name not in known:
        raise AttributeError(f"modules.paths has no {name!r} here")
    return str(known[name])
