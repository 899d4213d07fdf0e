"""Turns a folder of somebody's into loaded scripts: under names of our own, timed and weighed.

Nothing of an extension goes into the names that the studio imports by. An extension is a package of its own,
`_extension_NAME_N`, whose files may import each other relatively (`from ..tools import mix`).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import psutil

from modules.scripts.metadata import Metadata
from modules.scripts.v1 import Script, Where, overrides

Reader = Callable[[ModuleType], Iterable[Script]]
"""Finds the scripts in a module."""
Prepare = Callable[[ModuleType], None]
"""Is given each module before it is executed."""
_COUNT = iter(range(1, sys.maxsize))
_LOCK = threading.Lock()


@dataclass(slots=True)
class Extension:
    """A folder, or a single file, with all that is known of it."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    metadata: Metadata = field(default_factory=Metadata)
    scripts: tuple[Script, ...] = ()
    error: str = ""
    """Why it does not work, as one sentence."""
    trace: str = ""
    """The traceback of that."""
    seconds: float = 0.0
    """What loading took."""
    bytes: int = 0
    """What the process grew by meanwhile."""
    package: str = field(default="", init=False)
    loaded: bool = False
    stopped: bool = False
    """It was switched off because it failed again and again."""
    failures: int = field(default=0, init=False)
    """Jobs in a row in which it failed."""

    @property
    def alone(self) -> bool:
        """Whether it is a single file, whose folder it shares with others."""
        return all(file.parent == self.folder for file in self.files) and bool(self.files)

    @property
    def key(self) -> str:
        """What `metadata.ini` of others calls it, in small letters."""
        return (self.metadata.name or self.name).casefold()

    @property
    def names(self) -> tuple[str, ...]:
        """The extension and its files, as others may require them."""
        return self.key, *(f"{self.key}/scripts/{file.name}".casefold() for file in self.files)

    def blame(self, what: str, error: BaseException) -> None:
        """Remember why it does not work."""
        self.error = f"{what}: {type(error).__name__}: {error}"[:1000]
        self.trace = "".join(traceback.format_exception(error))[-8000:]


def find_extensions(extensions: Iterable[Path], scripts: Iterable[Path]) -> list[Extension]:
    """Folders below each of `extensions`, and the `.py` files of each of `scripts`, the first of a name wins."""
    found: dict[str, Extension] = {}
    for parent in extensions:
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            if folder.is_dir() and not folder.name.startswith((".", "_")):
                files = tuple(sorted((folder / "scripts").glob("*.py")))
                found.setdefault(folder.name.casefold(), Extension(folder.name, folder, files))
    for parent in scripts:
        for file in sorted(parent.glob("*.py")) if parent.is_dir() else ():
            if not file.name.startswith("_"):
                found.setdefault(f"{file.stem}.py".casefold(), Extension(file.name, parent, (file,)))
    return list(found.values())


def read_v1(module: ModuleType) -> Iterator[Script]:
    """One object of each class of the module that is a script of our own API."""
    for item in list(vars(module).values()):
        if (
            inspect.isclass(item)
            and issubclass(item, Script)
            and item is not Script
            and item.__module__ == module.__name__
        ):
            yield item()


def as_it_is(module: ModuleType) -> None:
    """Of modules that need no preparation."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How modules of extensions become scripts."""

    readers: tuple[Reader, ...] = (read_v1,)
    prepare: Prepare = as_it_is


def load(extension: Extension, files: Iterable[Path], readers: Iterable[Reader], prepare: Prepare = as_it_is) -> None:
    """Import the files and make their scripts. What goes wrong is kept in the extension; nothing is raised."""
    memory, began = psutil.Process().memory_info().rss, time.perf_counter()
    scripts: list[Script] = []
    file: Path | None = None
    try:
        extension.package = _make_package(extension)
        for file in files:
            module = _import(extension, file, prepare)
            scripts += [checked(script) for read in readers for script in read(module)]
    except (Exception, SystemExit) as error:  # border 'extension': other people's code may raise anything
        extension.blame(f"{extension.name if file is None else file.name} could not be loaded", error)
        extension.loaded = False
        _forget(extension.package)
    else:
        extension.scripts = tuple(sorted(scripts, key=lambda script: script.order))
        extension.loaded, extension.error, extension.trace = True, "", ""
    extension.seconds = time.perf_counter() - began
    extension.bytes = max(psutil.Process().memory_info().rss - memory, 0)


def unload(extension: Extension, call: Callable[[Callable[[], Any]], Any]) -> None:
    """Forget its modules. `call` makes the calls of the scripts' own `closed`."""
    for script in extension.scripts:
        if overrides(script, "closed"):
            call(script.closed)
    _forget(extension.package)
    extension.scripts, extension.loaded = (), False


def _make_package(extension: Extension) -> str:
    with _LOCK:
        name = f"_extension_{re.sub(r'[^0-9A-Za-z]', '_', extension.name)}_{next(_COUNT)}"
    for key, folder in ((name, extension.folder), (f"{name}.scripts", extension.folder / "scripts")):
        package = ModuleType(key, f"The extension {extension.name}.")
        package.__path__ = [str(folder)]
        sys.modules[key] = package
    return name


def _import(extension: Extension, file: Path, prepare: Prepare) -> ModuleType:
    alone = file.parent == extension.folder
    name = f"{extension.package}{'' if alone else '.scripts'}.{file.stem}"
    if name in sys.modules:  # another file of the extension has imported it
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    prepare(module)
    spec.loader.exec_module(module)
    return module


def _forget(package: str) -> None:
    if package:
        for name in [name for name in list(sys.modules) if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]


def checked(script: Script) -> Script:
    """The script. Raises `ValueError` saying what of its declarations cannot be."""
    if not isinstance(script, Script):
        raise ValueError(f"{script!r:.80} is not a script")
    if not isinstance(script.title, str) or not 1 <= len(script.title.strip()) <= 100:
        raise ValueError(f"{type(script).__name__}: title has to be a text of 1 to 100 characters")
    if script.where not in get_args(Where):
        raise ValueError(f"{script.title}: where is {script.where!r}; allowed are {', '.join(get_args(Where))}")
    if not isinstance(script.order, int):
        raise ValueError(f"{script.title}: order has to be a whole number")
    if not script.always_on and not overrides(script, "run"):
        raise ValueError(f"{script.title} is not always on and has no run method")
    for item in (*script.parameters, *script.settings):
        if not item.name:
            raise ValueError(f"{script.title}: the setting {item.label!r} needs a name")
        try:
            item.read(item.default)
        except ValueError as error:
            raise ValueError(f"{script.title}: the default of {item.label} is {item.default!r}; {error}") from error
    return script
