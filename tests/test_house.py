"""The house as a whole: every module imports, and the light floors stay light."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import modules

ROOT = Path(modules.__file__).resolve().parents[1]
NAMES = sorted(
    info.name
    for info in pkgutil.walk_packages([str(ROOT / "modules")], "modules.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", NAMES)
def test_every_module_imports_and_says_what_it_is_for(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"


def imported_after(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(' '.join({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "banned"),
    [
        ("import modules.contracts.request, modules.support.studio", {"torch", "numpy", "PIL", "gradio", "fastapi"}),
        ("import modules.app", {"torch", "numpy", "PIL", "gradio", "fastapi", "sqlalchemy", "uvicorn"}),
        ("import modules.api.app", {"torch", "diffusers", "transformers", "gradio"}),
        ("import modules.ui.mount", {"torch", "diffusers", "transformers"}),
        ("import modules.sd_models.catalog, modules.sd_samplers.table, modules.device", {"torch", "diffusers"}),
        ("import modules.pocket.command", {"torch", "diffusers"}),
    ],
)
def test_light_rooms_do_not_drag_in_heavy_libraries(statement, banned):
    assert not imported_after(statement) & banned


def test_no_source_file_is_longer_than_the_house_allows():
    lengths = {
        path.relative_to(ROOT): len(path.read_text("utf-8").splitlines())
        for folder in ("modules", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}
