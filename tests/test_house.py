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
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PARAMETERS, FIELDS = 8, 12
LARGE_GROUPS = {"EnlargeParams", "Family", "GenerationRequest", "Studio"}
"""More fields than `FIELDS`; docs/architecture.md says why."""


def overfull(text: str, place: str, large: set[str] | frozenset[str] = frozenset()) -> list[str]:
    """Functions and groups of fields of a source that are larger than the house allows, but for the `large` groups.

    What Python gives a method as its first argument is not counted; parameters that go by name only are.
    """
    wrong = []
    tree = ast.parse(text)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    bound = {
        item
        for each in classes
        for item in each.body
        if isinstance(item, FUNCTIONS) and not named(item.decorator_list, "staticmethod")
    }
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            if node.end_lineno - node.lineno > 60:
                wrong.append(f"{place}: {node.name} has more than 60 lines")
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if len(given) - (node in bound) > PARAMETERS:
                wrong.append(f"{place}: {node.name} has more than {PARAMETERS} parameters")
        if isinstance(node, ast.Global):
            wrong.append(f"{place}: global {node.names}")
    for each in classes:
        if named(each.decorator_list, "dataclass") and each.name not in large and len(asked_for(each)) > FIELDS:
            wrong.append(f"{place}: {each.name} has more than {FIELDS} fields")
    return wrong


def named(decorators: list[ast.expr], name: str) -> bool:
    """Whether one of them is `name`, called or not."""
    return any(ast.unparse(item).split("(")[0].split(".")[-1] == name for item in decorators)


def asked_for(group: ast.ClassDef) -> list[ast.AnnAssign]:
    """The fields that whoever makes a group of fields gives it: not those that it fills itself."""
    return [
        item
        for item in group.body
        if isinstance(item, ast.AnnAssign)
        and "ClassVar" not in ast.unparse(item.annotation)
        and not (item.value is not None and "init=False" in ast.unparse(item.value))
    ]


def test_files_functions_and_parameter_lists_keep_to_the_house_rules():
    wrong = []
    for path in SOURCES:
        text = path.read_text("utf-8")
        place = path.relative_to(ROOT).as_posix()
        if len(text.splitlines()) > 400:
            wrong.append(f"{place}: more than 400 lines")
        wrong += overfull(text, place, LARGE_GROUPS)
    assert wrong == []


@pytest.mark.parametrize(
    ("head", "before", "after", "found"),
    [
        ("def act(", "", "a, b, c, d, e, f, g, h", False),
        ("def act(", "", "a, b, c, d, e, f, g, h, i", True),
        ("def act(", "", "a, b, /, c, d, e, *, f, g, h, i", True),
        ("def act(", "class A:\n    ", "self, *, a, b, c, d, e, f, g, h", False),
        ("def act(", "class A:\n    ", "self, *, a, b, c, d, e, f, g, h, i", True),
        ("@staticmethod\n    def act(", "class A:\n    ", "a, b, c, d, e, f, g, h, i", True),
    ],
)
def test_parameters_are_counted_however_they_are_given(head, before, after, found):
    assert bool(overfull(f"{before}{head}{after}): ...", "a")) is found


@pytest.mark.parametrize(("count", "found"), [(12, False), (13, True)])
def test_fields_are_counted(count, found):
    fields = "".join(f"    field_{number}: int = 0\n" for number in range(count))
    text = f"@dataclass(frozen=True)\nclass Group:\n{fields}    own: int = field(init=False)\n"
    assert bool(overfull(text, "a")) is found
    assert overfull(text, "a", {"Group"}) == []


def test_large_groups_are_exceptions_that_the_house_knows_and_needs():
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    _, _, differs = page.partition("## Where this differs from the first plan")
    assert {name for name in LARGE_GROUPS if f"`{name}`" in differs} == LARGE_GROUPS
    sources = [path.read_text("utf-8") for path in SOURCES]
    found = [line for text in sources for line in overfull(text, "a") if "fields" in line]
    assert {line.split()[1] for line in found} == LARGE_GROUPS


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
