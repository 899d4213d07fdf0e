"""Scripts and extensions as the fronts see them: plain entries, and the few things that can be done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from modules.contracts.errors import ExtensionFailed, InvalidRequest, NotAllowed, UnknownName, reason_of
from modules.contracts.extending import AxisEntry, AxisValues, PageFile, RoomEntry, WebAnswer, WebCall
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import ExtensionEntry, ParameterEntry, ScriptEntry
from modules.scripts.addresses import Addresses
from modules.scripts.loading import Extension
from modules.scripts.pages import page_files, read_page_file
from modules.scripts.parameters import Parameter, Text
from modules.scripts.shelf import QUICK_SECONDS, ScriptShelf
from modules.scripts.v1 import Room, Route, Script, overrides

Kind = TypeVar("Kind")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a tab may be called."""


class ScriptDesk:
    """Implements `modules.contracts.scripts.Scripts` over the shelf."""

    def __init__(self, shelf: ScriptShelf) -> None:
        self._shelf, self._addresses = shelf, Addresses(shelf)

    @property
    def safe(self) -> bool:
        """As `Scripts` says."""
        return self._shelf.safe

    @property
    def notices(self) -> tuple[str, ...]:
        """As `Scripts` says."""
        return tuple(self._shelf.notices)

    def entries(self) -> tuple[ExtensionEntry, ...]:
        """As `Scripts` says."""
        return tuple(map(self._entry, self._shelf.extensions()))

    def offered(self, mode: str, *, always_on: bool) -> tuple[ScriptEntry, ...]:
        """As `Scripts` says."""
        return tuple(self._script(*pair) for pair in self._shelf.scripts(mode, always_on=always_on))

    def find(self, title: str, mode: str, *, always_on: bool) -> ScriptEntry:
        """As `Scripts` says."""
        return self._script(*self._shelf.find(title, mode, always_on=always_on))

    def axes(self, mode: str) -> tuple[AxisEntry, ...]:
        """As `Scripts` says."""
        found = []
        for always_on in (True, False):
            for extension, script in self._shelf.scripts(mode, always_on=always_on):
                found += self._axes(extension, script, mode)
        return tuple(found)

    def _axes(self, extension: Extension, script: Script, mode: str) -> list[AxisEntry]:
        def look() -> list[AxisEntry]:
            each = (item.axis(script.title, mode, always_on=script.always_on) for item in script.parameters)
            return [one for one in each if one is not None]

        try:
            return self._shelf.caller.call(look, QUICK_SECONDS)
        except Exception as error:  # border 'extension'
            self._shelf.report(extension, f"{script.title} failed in its axes", error)
            return []

    def read_axis(
        self, entry: AxisEntry, given: str | Sequence[Any], mode: str, request: GenerationRequest | None
    ) -> AxisValues:
        """As `Scripts` says."""
        extension, script = self._shelf.find(entry.script, mode, always_on=entry.always_on)
        item = next((one for one in script.parameters if one.name == entry.name), None)
        if item is None:
            raise InvalidRequest(f"{script.title} has no parameter '{entry.name:.60}' any more.")
        try:
            return self._shelf.caller.call(lambda: item.vary(given, request), QUICK_SECONDS)
        except InvalidRequest:
            raise
        except ValueError as error:
            raise InvalidRequest(f"{entry.label}: {reason_of(error)}.") from error
        except Exception as error:  # border 'extension'
            self._shelf.report(extension, f"{entry.label} could not be read", error)
            raise InvalidRequest(f"{entry.label}: {type(error).__name__}: {reason_of(error)}.") from error

    def recalled(self, infotext: str, fields: Mapping[str, str]) -> dict[str, str]:
        """As `Scripts` says."""
        found = dict(fields)
        for extension in self._shelf.extensions():
            for script in extension.scripts if _is_on(extension) else ():
                if overrides(script, "recalled"):
                    found = self._recalled(extension, script, infotext, found)
        return found

    def _recalled(self, extension: Extension, script: Script, infotext: str, fields: dict[str, str]) -> dict[str, str]:
        try:
            told = self._shelf.caller.call(lambda: script.recalled(infotext, dict(fields)), QUICK_SECONDS)
            if told is None:
                return fields
            if not isinstance(told, dict):
                raise ValueError(f"it gave {type(told).__name__} where the fields are needed")
        except Exception as error:  # border 'extension'
            self._shelf.report(extension, f"{script.title} failed in recalled", error)
            return fields
        return {str(key): str(value) for key, value in told.items() if value is not None}

    def switch(self, name: str, action: Literal["enable", "disable", "reload"]) -> ExtensionEntry:
        """As `Scripts` says."""
        acts = {"enable": self._shelf.enable, "disable": self._shelf.disable, "reload": self._shelf.reload}
        return self._entry(acts[action](name))

    def refresh(self) -> None:
        """As `Scripts` says."""
        self._shelf.scan()

    def configure(self, name: str, changes: Mapping[str, Any]) -> ExtensionEntry:
        """As `Scripts` says."""
        self._shelf.configure(name, changes)
        return self._entry(self._shelf.get(name))

    def page_files(self) -> tuple[PageFile, ...]:
        """As `Scripts` says."""
        return tuple(file for one in self._shelf.extensions() if _is_on(one) for file, _ in page_files(one))

    def page_file(self, name: str, path: str) -> tuple[PageFile, bytes] | None:
        """As `Scripts` says."""
        found = next((one for one in self._shelf.extensions() if one.name == name and _is_on(one)), None)
        return None if found is None else read_page_file(found, path)

    def rooms(self) -> tuple[RoomEntry, ...]:
        """As `Scripts` says."""
        found: dict[str, RoomEntry] = {}
        for extension in self._shelf.extensions():
            for script in extension.scripts if _is_on(extension) else ():
                for tab in self._listed(extension, script, "rooms", Room):
                    if _NAME.fullmatch(tab.name):
                        build = self._building(tab, extension)
                        found.setdefault(tab.name, RoomEntry(extension.name, tab.name, tab.title, build))
        return tuple(found.values())

    def _building(self, tab: Room, extension: Extension) -> Callable[[Callable[[Any], None]], str]:
        def build(check: Callable[[Any], None]) -> str:
            try:
                tab.build(check)  # in this thread, as Gradio's layout is the thread's
            except Exception as error:  # border 'extension'
                self._shelf.report(extension, f"the tab {tab.title} could not be built", error)
                return f"{extension.name} could not build this tab: {type(error).__name__}: {reason_of(error)}."
            return ""

        return build

    def open(self, page: Any) -> None:
        """As `Scripts` says."""
        self._addresses.open(page)

    def answers(self, method: str, path: str) -> bool:
        """As `Scripts` says."""
        return self._addresses.find(method, path) is not None

    def serve(self, asked: WebCall) -> WebAnswer:
        """As `Scripts` says."""
        return self._addresses.serve(asked)

    def answer(self, name: str, method: str, path: str, given: Mapping[str, Any], *, admin: bool) -> Any:
        """As `Scripts` says."""
        extension = self._shelf.get(name)
        for script in extension.scripts if _is_on(extension) else ():
            for route in self._listed(extension, script, "routes", Route):
                if (route.path, route.method) == (path.strip("/"), method):
                    if route.admin and not admin:
                        raise NotAllowed("Only an admin may do that.")
                    return self._told(extension, route, given)
        raise UnknownName(f"The extension {extension.name} answers nothing at {method} {path:.100}.")

    def _listed(self, extension: Extension, script: Script, method: str, kind: type[Kind]) -> list[Kind]:
        """What a method lists, of that kind; none of one that fails."""
        if not overrides(script, method):
            return []
        try:
            found = self._shelf.caller.call(lambda: list(getattr(script, method)()), QUICK_SECONDS)
        except Exception as error:  # border 'extension'
            self._shelf.report(extension, f"{script.title} failed in {method}", error)
            return []
        return [one for one in found if isinstance(one, kind)]

    def _told(self, extension: Extension, route: Route, given: Mapping[str, Any]) -> Any:
        try:
            answer = self._shelf.caller.call(lambda: json.dumps(route.answer(given)), QUICK_SECONDS)
        except Exception as error:  # border 'extension'
            self._shelf.report(extension, f"{extension.name} failed at {route.path}", error)
            reason = f"{type(error).__name__}: {reason_of(error)}"
            raise ExtensionFailed(f"The extension {extension.name} failed: {reason}.") from error
        return json.loads(answer)

    def _entry(self, extension: Extension) -> ExtensionEntry:
        state: Literal["on", "off", "failed", "stopped"] = "on" if extension.loaded else "off"
        if extension.stopped:
            state = "stopped"
        elif extension.error and not extension.loaded and self._shelf.enabled(extension):
            state = "failed"
        return ExtensionEntry(
            extension.name,
            state,
            tuple(self._script(extension, script) for script in extension.scripts),
            extension.seconds,
            extension.bytes,
            extension.error,
            extension.trace,
            self._shelf.settings(extension),
        )

    def _script(self, extension: Extension, script: Script) -> ScriptEntry:
        panel = ""
        if overrides(script, "panel"):
            try:
                panel = str(self._shelf.caller.call(script.panel, QUICK_SECONDS))
            except Exception as error:  # border 'extension'
                self._shelf.report(extension, f"{script.title} failed in panel", error)
        parameters = tuple(map(_parameter, script.parameters))
        return ScriptEntry(script.title, extension.name, script.where, script.always_on, parameters, panel)


def _is_on(extension: Extension) -> bool:
    return extension.loaded and not extension.stopped


def _parameter(item: Parameter) -> ParameterEntry:
    bounds = dict(item.bounds)
    choices = bounds.pop("choices", None)
    kind: Any = item.kind
    return ParameterEntry(
        item.name,
        item.label,
        kind,
        item.default,
        item.help,
        **bounds,
        choices=None if choices is None else tuple(choices),
        lines=item.lines if isinstance(item, Text) else 1,
        hidden=item.hidden,
    )
