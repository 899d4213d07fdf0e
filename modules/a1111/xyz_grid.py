"""A1111's script `xyz_grid.py`, as extensions look for it to add axes of their own.

The axes that they add are kept with the extension and are axes of the studio's grids, as `modules.a1111.axes` has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from modules.a1111.importing import PREFIX, package_of

KEPT, USUAL = "_a1111_scripts_data", "_a1111_usual_axes"


@dataclass(eq=False)
class AxisOption:
    """One axis: `type` reads a value, `apply(p, x, xs)` puts it into `p`."""

    label: str
    type: Any
    apply: Callable[..., Any]
    format_value: Any = None
    confirm: Any = None
    cost: float = 0.0
    choices: Any = None
    prepare: Any = None


class AxisOptionTxt2Img(AxisOption):
    """One for pictures from words alone."""


class AxisOptionImg2Img(AxisOption):
    """One for pictures from a picture."""


def apply_field(field: str) -> Callable[[Any, Any, Any], None]:
    """Puts a value into that field of `p`."""

    def put(p: Any, x: Any, xs: Any) -> None:
        setattr(p, field, x)

    return put


def apply_override(field: str, boolean: bool = False) -> Callable[[Any, Any, Any], None]:
    """Puts a value, or the truth of a word, into that key of `p.override_settings`."""

    def put(p: Any, x: Any, xs: Any) -> None:
        p.override_settings[field] = str(x).lower() == "true" if boolean else x

    return put


def boolean_choice(reverse: bool = False) -> Callable[[], list[str]]:
    """The words of an axis of yes and no."""
    return lambda: ["False", "True"] if reverse else ["True", "False"]


def format_nothing(p: Any, opt: Any, x: Any) -> str:
    """No word."""
    return ""


def format_value(p: Any, opt: Any, x: Any) -> Any:
    """The value alone; numbers with eight digits."""
    return round(x, 8) if isinstance(x, float) else x


def format_value_add_label(p: Any, opt: Any, x: Any) -> str:
    """The value behind the axis's name."""
    return f"{opt.label}: {format_value(p, opt, x)}"


OFFERED = (AxisOption, AxisOptionTxt2Img, AxisOptionImg2Img, apply_field, apply_override, boolean_choice)
WORDED = (format_nothing, format_value, format_value_add_label)


@dataclass(frozen=True, slots=True)
class ScriptClassData:
    """A loaded script, as `scripts.scripts_data` lists it."""

    script_class: type
    path: str
    basedir: str
    module: Any


def scripts_data(name: str) -> list[ScriptClassData]:
    """What a module of that name sees of A1111's own scripts: the grid, with a list of axes of the extension's own."""
    package = package_of(name)
    if not package.startswith(PREFIX):
        return []
    kept = vars(sys.modules[package])
    if KEPT not in kept:
        from modules.a1111.scripts import Script

        grid = ModuleType("xyz_grid.py")
        vars(grid).update({one.__name__: one for one in (*OFFERED, *WORDED)})
        kept[USUAL] = usual = [AxisOption(label, kind, apply_field(field)) for label, kind, field in _usual()]
        vars(grid)["axis_options"] = list(usual)
        kind = type("Script", (Script,), {"__module__": "xyz_grid.py", "title": lambda self: "X/Y/Z plot"})
        kept[KEPT] = [ScriptClassData(kind, "scripts/xyz_grid.py", "", grid)]
    found: list[ScriptClassData] = kept[KEPT]
    return found


def added(package: str) -> list[AxisOption]:
    """The axes that an extension has put into its list, in order, each label once: the last one of it counts."""
    kept = vars(sys.modules[package])
    if KEPT not in kept:
        return []
    options = list(kept[KEPT][0].module.axis_options)
    found = {one.label: one for one in options if isinstance(one, AxisOption) and one not in kept[USUAL]}
    return list(found.values())


def _usual() -> tuple[tuple[str, Any, str], ...]:
    return (
        ("Seed", int, "seed"),
        ("Var. seed", int, "subseed"),
        ("Var. strength", float, "subseed_strength"),
        ("Steps", int, "steps"),
        ("CFG Scale", float, "cfg_scale"),
        ("Sampler", str, "sampler_name"),
        ("Denoising", float, "denoising_strength"),
    )
