"""Makes a script of our own API out of one of A1111's: same title, same inputs, its methods at the moments of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from modules.a1111 import script_callbacks
from modules.a1111 import scripts as legacy
from modules.a1111.axes import read_axes
from modules.a1111.callbacks import called_script
from modules.a1111.desk import Gate
from modules.a1111.hearing import both, heard_by, of_package, of_script, tell_page
from modules.a1111.importing import PREFIX, package_of
from modules.a1111.learning import Argument, learn
from modules.a1111.moments import ALWAYS_ON, ENDING, OWNING
from modules.a1111.postprocessing import adapt_postprocessing
from modules.a1111.script_callbacks import CALLED, registered
from modules.a1111.scripts_postprocessing import ScriptPostprocessing
from modules.a1111.sd_samplers_kdiffusion import SAMPLER
from modules.scripts.v1 import Script, Where

SEEN, PAGE = "_a1111_classes", "_a1111_page_told"


@dataclass(frozen=True, slots=True)
class Tab:
    """A script as one of A1111's two tabs has it."""

    script: legacy.Script
    arguments: Sequence[Argument]
    always_on: bool

    def asked(self, values: Any) -> tuple[Any, ...]:
        """The values as the script's methods get them."""
        return tuple(one.convert(values[one.parameter.name]) for one in self.arguments)

    @property
    def shape(self) -> list[Any]:
        """What both tabs have to share to be one script here."""
        rows = [one.parameter for one in self.arguments]
        return [
            self.always_on,
            self.script.title(),
            *((each.kind, each.name, each.default, each.bounds) for each in rows),
        ]


class Adapted(Script):
    """Base of those that are made here. `tabs` by `txt2img` and `img2img`."""

    title = "A1111"
    tabs: dict[str, Tab]
    gate: Gate
    package: str

    def tab(self, mode: str) -> Tab:
        """Of a request's mode."""
        return self.tabs["txt2img" if mode == "txt2img" else "img2img"]


def read_legacy(module: ModuleType) -> Iterator[Script]:
    """A script for each class of A1111's that the module has and that no other file of the extension brought."""
    package = package_of(module.__name__)
    kept = vars(sys.modules[package])
    seen: set[type] = kept.setdefault(SEEN, set())
    for callback in registered(package).pop("before_ui", ()):
        callback()
    if PAGE not in kept and {"before_component", "after_component"} & registered(package).keys():
        kept[PAGE] = True
        for tab in ("txt2img", "img2img"):
            tell_page(tab, of_package(package))
    for item in list(vars(module).values()):
        if not isinstance(item, type) or item in seen:
            continue
        if issubclass(item, legacy.Script) and package_of(item.__module__) == package:
            seen.add(item)
            yield from adapt(item, str(module.__file__))
        elif issubclass(item, ScriptPostprocessing) and package_of(item.__module__) == package:
            seen.add(item)
            yield from adapt_postprocessing(item, str(module.__file__), package)
    yield from read_axes(package)
    if CALLED not in kept and (registered(package) or SAMPLER in kept or _may_register(package)):
        yield called_script(package, package.removeprefix(PREFIX).rpartition("_")[0])
    elif SAMPLER in kept and CALLED in kept:
        kept[CALLED].serve("sampler")


def _may_register(package: str) -> bool:
    """Whether any of its modules holds something by which callbacks are registered while a job is drawn."""
    ways = {id(script_callbacks), *(id(vars(script_callbacks)[f"on_{kind}"]) for kind in script_callbacks.SERVED)}
    modules = [one for name, one in list(sys.modules.items()) if package_of(name) == package]
    return any(id(value) in ways for one in modules for value in list(vars(one).values()))


def adapt(kind: type[legacy.Script], file: str) -> Iterator[Script]:
    """One script for both tabs, or one each where they have different inputs; none where it is not to be shown."""
    tabs: dict[str, Tab] = {}
    for tab, is_img2img in (("txt2img", False), ("img2img", True)):
        script = kind()
        script.filename, script.tabname = file, tab
        script.is_txt2img, script.is_img2img = not is_img2img, is_img2img
        shown = script.show(is_img2img)
        if shown:
            script.alwayson, script.name = shown is legacy.AlwaysVisible, script.title().lower()
            tell_page(tab, of_script(script))
            with heard_by(both(of_package(package_of(kind.__module__)), of_script(script))):
                rows = script.ui(is_img2img)
            tabs[tab] = Tab(script, learn(rows), script.alwayson)
    if len(tabs) == 2 and tabs["txt2img"].shape == tabs["img2img"].shape:
        yield _made("both", tabs)
    else:
        for where, one in tabs.items():
            yield _made("txt2img" if where == "txt2img" else "img2img", {where: one})


def _made(where: Where, tabs: dict[str, Tab]) -> Script:
    one = next(iter(tabs.values()))
    methods: dict[str, Callable[..., Any]] = {"run": OWNING, "job_ended": ENDING}
    if one.always_on:
        wanted = {name for name in vars(legacy.Script) if _overrides(one.script, name)}
        methods = {moment: act for moment, (act, served) in ALWAYS_ON.items() if wanted & served}
        methods |= {"job_ended": ENDING} if methods else {}
    names = {
        "title": one.script.title(),
        "always_on": one.always_on,
        "where": where,
        "__doc__": type(one.script).__doc__,
    }
    kind: Any = type(type(one.script).__name__, (Adapted,), {**names, **methods})
    kind.parameters = tuple(each.parameter for each in one.arguments)
    made: Adapted = kind()
    made.tabs, made.gate = tabs, Gate()
    made.package = package_of(type(one.script).__module__)
    return made


def _overrides(script: legacy.Script, name: str) -> bool:
    return getattr(type(script), name, None) is not vars(legacy.Script)[name]
