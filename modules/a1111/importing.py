"""What an extension gets when it says `import modules.…`, `gradio`, `launch`, or the name of a file of its own.

The names are answered for modules of extensions only: each has builtins of its own with another `__import__`. So the
studio's `modules.scripts` stays what it is, nothing is put into `sys.path`, and two extensions that both have a
`utils.py` do not meet. `importlib.import_module("modules.…")` gets the studio's own modules.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

FACADE = "modules.a1111"
OUTSIDE = {"gradio": f"{FACADE}.components", "launch": f"{FACADE}.launcher"}
"""Names beside `modules` that an extension gets something of ours for."""
OURS = "modules.scripts.v1"
PREFIX = "_extension_"


def place_of(name: str) -> str:
    """Where `modules.NAME` is for an extension: in the facade, or our own API for scripts, and nowhere else.

    Raises `ModuleNotFoundError`.
    """
    here = f"{FACADE}.{name.removeprefix('modules.')}"
    if name == OURS:
        return name
    parent = here.rpartition(".")[0]
    if parent != FACADE and not hasattr(importlib.import_module(place_of(name.rpartition(".")[0])), "__path__"):
        raise ModuleNotFoundError(f"No module named {name!r} for extensions", name=name)
    if here not in sys.modules and importlib.util.find_spec(here) is None:
        raise ModuleNotFoundError(f"No module named {name!r} for extensions", name=name)
    return here


class _Modules(ModuleType):
    """The package `modules` as an extension sees it."""

    def __getattr__(self, name: str) -> Any:
        """A module of that name, imported when it is asked for."""
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return importlib.import_module(place_of(f"modules.{name}"))
        except ModuleNotFoundError as error:
            raise AttributeError(f"the studio has no module modules.{name} for extensions") from error


MODULES = _Modules("modules", "The package `modules` as extensions see it.")


def prepare(module: ModuleType) -> None:
    """Give a module that is about to be executed the names of the facade."""
    package = package_of(module.__name__)

    def import_(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        head = name.partition(".")[0]
        if level == 0 and head == "modules":
            if name == "modules":
                return MODULES
            found = importlib.import_module(place_of(name))
            return found if fromlist else MODULES
        if level == 0 and head in OUTSIDE:
            return importlib.import_module(OUTSIDE[head])
        if level == 0 and _is_own(package, head):
            found = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or (), 0)
            return found if fromlist else sys.modules[f"{package}.{head}"]
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_}


def package_of(name: str) -> str:
    """The package of the extension that a module of that name belongs to."""
    return name.partition(".")[0]


def _is_own(package: str, head: str) -> bool:
    """Whether the extension has such a file or package; folders without code give way to installed libraries."""
    if head in sys.stdlib_module_names:
        return False
    if f"{package}.{head}" in sys.modules:  # its package of scripts stands without having been found
        return True
    spec = importlib.util.find_spec(f"{package}.{head}")
    if spec is None:
        return False
    return spec.origin is not None or not (head in sys.modules or importlib.util.find_spec(head) is not None)


class _Loader(SourceFileLoader):
    """Of a file that a file of an extension imports."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute it with the facade's names."""
        prepare(module)
        super().exec_module(module)


class ExtensionFinder(MetaPathFinder):
    """Finds what files of extensions import of each other, as Python would, and prepares it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for everything that belongs to no extension."""
        if not fullname.startswith(PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


def install() -> None:
    """Put the finder where Python asks it; once is enough."""
    if not any(isinstance(one, ExtensionFinder) for one in sys.meta_path):
        sys.meta_path.insert(0, ExtensionFinder())
