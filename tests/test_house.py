"""The house as a whole: every module imports, and the light floors stay light."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
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


SOURCES = [ROOT / "launch.py", *sorted((ROOT / "modules").rglob("*.py"))]


def test_files_functions_and_parameter_lists_keep_to_the_house_rules():
    wrong = []
    for path in SOURCES:
        text = path.read_text("utf-8")
        place = path.relative_to(ROOT).as_posix()
        if len(text.splitlines()) > 400:
            wrong.append(f"{place}: more than 400 lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.end_lineno - node.lineno > 60:
                    wrong.append(f"{place}: {node.name} has more than 60 lines")
                if len([*node.args.args, *node.args.kwonlyargs]) > 9:  # self and eight
                    wrong.append(f"{place}: {node.name} has more than 8 parameters")
            if isinstance(node, ast.Global):
                wrong.append(f"{place}: global {node.names}")
    assert wrong == []


def test_no_exception_is_swallowed():
    wrong = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            broad = isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
            )
            if broad and all(isinstance(line, ast.Pass) for line in node.body):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


def test_links_in_the_documents_lead_somewhere():
    missing = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "models" / "pocket" / "README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)} -> {target}")
    assert missing == []
