"""Axes that an extension adds to A1111's X/Y/Z plot, as parameters of one more script of that extension.

So a cell of a grid stays an ordinary job: what it is told of the axis is data of its request, and the extension's
`apply` is run on a `p` of that job, before any other script of the extension is asked. Fields of `p` that it sets are
drawn, and whatever else it puts there stands in the `p` of the extension's scripts.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from modules.a1111.desk import Gate, desk_of
from modules.a1111.house import Now, within
from modules.a1111.importing import PREFIX
from modules.a1111.processing import StableDiffusionProcessing
from modules.a1111.xyz_grid import AxisOption, AxisOptionImg2Img, AxisOptionTxt2Img, added
from modules.contracts.errors import JobCancelled, ScriptFailed, reason_of
from modules.contracts.extending import AxisEntry, AxisValues
from modules.contracts.request import GenerationRequest
from modules.scripts.context import JobContext
from modules.scripts.parameters import Parameter
from modules.scripts.v1 import Script

KEPT = "_a1111_axes"
GATE = "a1111_axes_gate"
FIRST = -(1 << 20)
"""The place of the script among those of its extension."""
TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(eq=False)
class Varied(Parameter):
    """One axis: a list of the cell's value and then all values of the axis, or the value alone; None for neither."""

    hidden: ClassVar[bool] = True
    silent: ClassVar[bool] = True
    option: Any = None

    @property
    def kind(self) -> str:
        """It is not on the page; lists call it a text."""
        return "text"

    def read(self, value: Any) -> Any:
        """Words and numbers."""
        rows = value if isinstance(value, list | tuple) else [value, value]
        if value is None:
            return None
        if len(rows) < 2 or any(not isinstance(one, str | int | float) for one in rows):
            raise ValueError("a list is needed: the value, then all values of the axis")
        return list(rows)

    def axis(self, title: str, mode: str, *, always_on: bool) -> AxisEntry | None:
        """As A1111 lists it in that tab."""
        option: AxisOption = self.option
        if isinstance(option, AxisOptionImg2Img if mode == "txt2img" else AxisOptionTxt2Img):
            return None
        kinds: dict[Any, Literal["int", "float", "bool", "str"]] = {int: "int", float: "float", bool: "bool"}
        choices = None if option.choices is None else tuple(map(str, option.choices()))
        cost = min(max(float(option.cost), 0.0), 1.0)
        kind = kinds.get(option.type, "str")
        return AxisEntry(title, self.name, self.label, always_on, kind, cost, choices, "", _prepares(option), "all")

    def vary(self, given: str | Sequence[Any], request: GenerationRequest | None) -> AxisValues:
        """The values as the extension prepares, reads and confirms them, each of which can be stored."""
        option: AxisOption = self.option
        rows: Sequence[Any] = option.prepare(given) if isinstance(given, str) else given
        rows = [one if isinstance(one, str | int | float) else str(one) for one in rows]
        try:
            values = [self.typed(one) for one in rows]
            if request is None:
                return AxisValues(tuple(rows))
            p = StableDiffusionProcessing.of(request)
            if option.confirm is not None and values:
                option.confirm(p, values)
            told = option.format_value
            words = () if told is None else tuple(str(told(p, option, one)) for one in values)
        except Exception as error:  # border 'extension': A1111's `confirm` raises RuntimeError for what it refuses
            raise ValueError(reason_of(error)) from error
        return AxisValues(tuple(rows), words)

    def typed(self, value: Any) -> Any:
        """A stored value as `apply` gets it. Raises whatever the extension's own reader does."""
        if self.option.type is bool and isinstance(value, str):
            return TRUTH[value.casefold()]
        return self.option.type(value)


def _prepares(option: AxisOption) -> bool:
    return option.prepare is not None and option.choices is None


class Axes(Script):
    """Applies what a cell is told of the axes of one extension."""

    title = "A1111 axes"
    order = FIRST
    package = ""
    gate: Gate

    def before_job(self, job: JobContext, request: GenerationRequest) -> GenerationRequest | None:
        """The request with what each axis does to `p`. Raises `ScriptFailed`: a cell without its value is none."""
        told: Any = [item for item in self.parameters if job.values[item.name] is not None]
        # What `apply` keeps in the extension's modules is guarded as what its scripts keep there.
        self.gate.enter(job, special=bool(told))
        job.state[GATE] = bool(told)
        if not told:
            return None
        now = Now(job, request, desk_of(self.package, job))
        with within(now):
            p = StableDiffusionProcessing.of(request)
            before = frozenset(vars(p))
            for item in told:
                value, *values = job.values[item.name]
                self._apply(p, item, value, values)
                job.infotext[item.label] = value
            found: GenerationRequest = p.request()
        now.desk.extras = {name: value for name, value in vars(p).items() if name not in before}
        job.infotext.update(p.extra_generation_params)
        return found

    @staticmethod
    def _apply(p: Any, item: Varied, value: Any, values: Sequence[Any]) -> None:
        try:
            item.option.apply(p, item.typed(value), [item.typed(one) for one in values])
        except JobCancelled:
            raise
        except Exception as error:  # border 'script'
            reason = f"{type(error).__name__}: {reason_of(error)}"
            raise ScriptFailed(f"The axis {item.label} failed at {value!r:.60}: {reason}.") from error

    def job_ended(self, job: JobContext) -> None:
        """Let others in."""
        special = job.state.pop(GATE, None)
        if special is not None:
            self.gate.leave(job, special=special)


def read_axes(package: str) -> list[Script]:
    """The script of an extension that has added axes since; none where it has, or has one already.

    Axes that a further file adds go to the script that is there.
    """
    kept = vars(sys.modules[package])
    options = added(package)
    if not options:
        return []
    made: Any = kept.get(KEPT)
    found = []
    if made is None:
        name = package.removeprefix(PREFIX).rpartition("_")[0]
        made = type("Axes", (Axes,), {"title": f"{name} (axes)", "order": FIRST, "package": package})()
        made.gate = Gate()
        kept[KEPT] = made
        found.append(made)
    type(made).parameters = tuple(_parameters(options))
    return found


def _parameters(options: Sequence[AxisOption]) -> list[Varied]:
    found: dict[str, Varied] = {}
    for number, option in enumerate(options):
        slug = re.sub(r"[^a-z0-9]+", "_", option.label.casefold()).strip("_") or f"axis_{number}"
        name = slug if slug not in found else f"{slug}_{number}"
        found[name] = Varied(option.label, None, name=name, option=option)
    return list(found.values())
