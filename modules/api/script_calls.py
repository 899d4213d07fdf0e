"""What bodies say to scripts, for the old API and for ours: arguments by place or by name, and their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modules.api.details import is_detailer
from modules.api.images import read_picture
from modules.api.intake import Given, Intake
from modules.api.sd_upscale import SCRIPT
from modules.api.tiled import is_tiled
from modules.api.units import is_control
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import GivenValue, ScriptEntry, ScriptParams, Scripts, ScriptUse


def is_ours(title: Any) -> bool:
    """Whether an always-on script of that title is part of the studio."""
    return is_control(title) or is_detailer(title) or is_tiled(title)


def owner_named(body: Mapping[str, Any]) -> str:
    """The script that is to own the run; empty for none, and for the one that is part of the studio."""
    name = body.get("script_name")
    word = name.strip() if isinstance(name, str) else ""
    return "" if word.casefold() in ("", "none", SCRIPT) else word


def is_there(scripts: Scripts, title: str, mode: str, *, always_on: bool) -> bool:
    """Whether a script of that title is loaded."""
    return any(one.title.casefold() == title.strip().casefold() for one in scripts.offered(mode, always_on=always_on))


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """A script with its values by name, pictures among them as texts."""

    entry: ScriptEntry
    values: Mapping[str, Any] = field(repr=False)


def legacy_calls(body: Mapping[str, Any], mode: str, scripts: Scripts, notes: list[str]) -> list[ScriptCall]:
    """The scripts in a body of the old API. Raises `InvalidRequest`."""
    calls = []
    always = body.get("alwayson_scripts")
    for title, said in always.items() if isinstance(always, Mapping) else ():
        if is_ours(title) or not is_there(scripts, title, mode, always_on=True):
            continue
        entry = scripts.find(title, mode, always_on=True)
        arguments = said.get("args") if isinstance(said, Mapping) else said
        calls.append(ScriptCall(entry, _named(entry, arguments, notes)))
    name = owner_named(body)
    if name:
        entry = scripts.find(name, mode, always_on=False)
        calls.append(ScriptCall(entry, _named(entry, body.get("script_args"), notes)))
    return calls


def _named(entry: ScriptEntry, arguments: Any, notes: list[str]) -> dict[str, Any]:
    """Arguments by name. Null stands for a default, and what is left out at the end does."""
    if arguments is None:
        return {}
    if isinstance(arguments, Mapping):
        return {str(key): value for key, value in arguments.items() if value is not None}
    if not isinstance(arguments, list):
        raise InvalidRequest(f"{entry.title}: args has to be a list in the order of the parameters, or an object.")
    if len(arguments) > len(entry.parameters):
        notes.append(f"{entry.title} takes {len(entry.parameters)} arguments; those after them changed nothing.")
    pairs = zip(entry.parameters, arguments, strict=False)
    return {item.name: value for item, value in pairs if value is not None}


class ScriptIntake:
    """Takes in what scripts are told, and the pictures of it: first their heads, themselves once the job may be."""

    def __init__(self, intake: Intake, calls: Iterable[ScriptCall]) -> None:
        """Raises `InvalidRequest` for what is no picture."""
        self._intake, self._calls = intake, list(calls)
        self._looked: dict[tuple[int, str], Given] = {}
        for number, call in enumerate(self._calls):
            for item in call.entry.parameters:
                text = call.values.get(item.name)
                if item.kind == "picture" and text:
                    self._looked[number, item.name] = intake.look(text, f"{call.entry.title}: {item.label}")

    @property
    def told(self) -> bool:
        """Any script is told anything."""
        return bool(self._calls)

    def fill(self, asked: GenerationRequest) -> GenerationRequest:
        """The request with it. Blocks. Raises `InvalidRequest`, and what the queue would raise."""
        if not self._calls:
            return asked
        if not self._looked:
            return replace(asked, scripts=self._params({}))
        self._intake.ask(replace(asked, scripts=self._params({key: one.head for key, one in self._looked.items()})))
        read = {key: read_picture(one, one.name, self._intake.read) for key, one in self._looked.items()}
        return replace(asked, scripts=self._params(read))

    def _params(self, pictures: Mapping[tuple[int, str], bytes]) -> ScriptParams:
        always, run = [], None
        for number, call in enumerate(self._calls):
            drawn = {item.name for item in call.entry.parameters if item.kind == "picture"}
            given = [GivenValue(name, value) for name, value in call.values.items() if name not in drawn]
            given += [GivenValue(name, picture=data) for (place, name), data in pictures.items() if place == number]
            use = ScriptUse(call.entry.title, tuple(given))
            if call.entry.always_on:
                always.append(use)
            else:
                run = use
        return ScriptParams(tuple(always), run)
