"""The extensions and scripts of this installation: found, ordered, loaded, switched on and off, blamed for failures."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.contracts.errors import InvalidRequest, UnknownName, reason_of
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import ScriptUse
from modules.scripts.calling import Caller
from modules.scripts.loading import Extension, Reading, find_extensions, load, unload
from modules.scripts.metadata import Metadata, Order, read_metadata, sort
from modules.scripts.parameters import read_values
from modules.scripts.preloading import Preloads
from modules.scripts.v1 import Script, overrides
from modules.support.atomic import write_text

log = logging.getLogger(__name__)
LOAD_SECONDS = 60.0
"""How long one extension may take to load."""
QUICK_SECONDS = 5.0
"""How long calls that belong to no job may take."""
MOST_FAILURES = 3
"""Jobs in a row in which an extension may fail before it is switched off."""


class ScriptShelf:
    """Safe from several threads. Jobs that run keep the scripts that they began with."""

    def __init__(
        self,
        extensions: Sequence[Path],
        scripts: Sequence[Path],
        data: Path,
        *,
        safe: bool = False,
        reading: Reading | None = None,
        libraries: Callable[[], None] = lambda: None,
        preloads: Preloads | None = None,
    ) -> None:
        """Folders of extensions, folders of single files, and where what is to be kept is. `safe` loads nothing.

        `reading` finds scripts in modules; without it only those of our own API are found. `libraries` lets Python find
        what extensions need; it is called before they are looked for. `preloads` are their flags.
        """
        self._preloads = preloads or Preloads()
        self._folders, self._scripts, self._data, self.safe = tuple(extensions), tuple(scripts), data, safe
        self._reading, self._libraries = reading or Reading(), libraries
        self._lock = threading.RLock()
        self._extensions: tuple[Extension, ...] = ()
        self._kept = self._recall()
        self.caller = Caller()
        self.stands: Callable[[Extension], None] = _nobody
        """Is told of each extension that was loaded."""
        self.notices: list[str] = []
        """What an admin should know, e.g. that an extension was switched off; the newest last."""

    def scan(self, only: str | None = None) -> None:
        """Look for extensions anew: those that are new are loaded, those that are gone are let go of.

        `only` names one that is all that is looked for.
        """
        with self._lock:
            self._libraries()
            known = {one.name.casefold(): one for one in self._extensions}
            found = [known.pop(one.name.casefold(), one) for one in find_extensions(self._folders, self._scripts)]
            found = [one for one in found if only in (None, one.name)]
            for gone in known.values():
                unload(gone, self._quietly)
            for one in found:
                self._describe(one)
            self._extensions = self._sorted(found)
            for one in self._extensions:
                if not one.loaded and not one.error and self.enabled(one):
                    self._load(one)

    def _describe(self, extension: Extension) -> None:
        try:
            extension.metadata = Metadata() if extension.alone else read_metadata(extension.folder)
        except (ValueError, OSError) as error:
            extension.blame(f"{extension.name} could not be read", error)
            log.error("extension %s: %s", extension.name, extension.error)

    def _sorted(self, found: Iterable[Extension]) -> tuple[Extension, ...]:
        """By what their metadata asks for, then by priority and name; whoever is in a cycle is told so."""
        by_name = {one.key: one for one in found}
        orders = {name: one.metadata.among(name) for name, one in by_name.items()}
        rank = {name: (one.metadata.priority, name) for name, one in by_name.items()}
        names, cycles = sort(orders, rank)
        for cycle in cycles:
            log.warning("extensions: %s", cycle)
            self._notice(f"Extensions: {cycle}.")
        return tuple(by_name[name] for name in names)

    def _load(self, extension: Extension) -> None:
        there = {name for one in self._extensions if self.enabled(one) for name in one.names}
        missing = [name for name in extension.metadata.requires if name not in there]
        if missing:
            extension.error = f"{extension.name} requires {', '.join(missing)}, which is not there or switched off"
            log.error("extension %s: %s", extension.name, extension.error)
            return
        try:
            self.caller.call(lambda: self._read(extension), LOAD_SECONDS)
            self._refuse_twins(extension)
        except Exception as error:  # border 'extension'
            extension.scripts, extension.loaded = (), False
            extension.blame(f"{extension.name} could not be loaded", error)
        if extension.error:
            log.error("extension %s: %s\n%s", extension.name, extension.error, extension.trace)
        else:
            kilobytes = extension.bytes >> 10
            self.stands(extension)
            log.info("extension %s stands after %.2f s (%d KiB)", extension.name, extension.seconds, kilobytes)

    def _read(self, extension: Extension) -> None:
        self._preloads.read(extension, self._reading.prepare)
        if not extension.error:
            load(extension, self._in_order(extension), self._reading.readers, self._reading.prepare)

    def _in_order(self, extension: Extension) -> list[Path]:
        files = {f"{extension.key}/scripts/{file.name}".casefold(): file for file in extension.files}
        said = extension.metadata.files
        orders = {name: said.get(name.partition("/")[2], Order()) for name in files}
        names, cycles = sort(orders, {name: (0, name) for name in files})
        if cycles:
            raise cycles[0]
        return [files[name] for name in names]

    def _refuse_twins(self, extension: Extension) -> None:
        taken = {
            script.title.casefold(): one.name
            for one in self._extensions
            if one is not extension
            for script in one.scripts
        }
        for script in extension.scripts:
            other = taken.get(script.title.casefold())
            if other is not None:
                raise ValueError(f"{other} has a script called {script.title!r}, too")

    def extensions(self) -> tuple[Extension, ...]:
        """All that were found, in order, whatever their state."""
        return self._extensions

    def get(self, name: str) -> Extension:
        """The extension of that name. Raises `UnknownName`."""
        found = next((one for one in self._extensions if one.name.casefold() == name.casefold()), None)
        if found is None:
            raise UnknownName(f"There is no extension '{name:.100}'.")
        return found

    def enabled(self, extension: Extension) -> bool:
        """Whether it is to be loaded."""
        return not self.safe and not extension.stopped and extension.name not in self._kept["off"]

    def enable(self, name: str) -> Extension:
        """Switch it on, also one that was switched off for its failures. Raises `InvalidRequest` in safe mode."""
        if self.safe:
            raise InvalidRequest("The studio was started with --safe-mode, so no extension is loaded.")
        with self._lock:
            extension = self.get(name)
            self._keep(off=[one for one in self._kept["off"] if one != extension.name])
            extension.stopped, extension.failures = False, 0
            if not extension.loaded:
                extension.error = extension.trace = ""
                self._load(extension)
            return extension

    def disable(self, name: str) -> Extension:
        """Switch it off, now and at the next start. Jobs that run keep what they began with."""
        with self._lock:
            extension = self.get(name)
            self._keep(off=sorted({*self._kept["off"], extension.name}))
            unload(extension, self._quietly)
            return extension

    def renew(self, name: str) -> None:
        """The files of that extension came, changed or went: look anew, and import it anew where it was known."""
        with self._lock:
            known = {one.name for one in self._extensions}
            self.scan()
            if name in known & {one.name for one in self._extensions}:
                self.reload(name)

    def reload(self, name: str) -> Extension:
        """Read its files again and import them anew."""
        with self._lock:
            extension = self.get(name)
            unload(extension, self._quietly)
            extension.error = extension.trace = ""
            fresh = next(
                (one for one in find_extensions(self._folders, self._scripts) if one.name == extension.name), None
            )
            if fresh is not None:
                extension.files = fresh.files
            self._describe(extension)
            if not extension.error and self.enabled(extension):
                self._load(extension)
            return extension

    def scripts(self, mode: str, *, always_on: bool) -> list[tuple[Extension, Script]]:
        """Loaded scripts for `txt2img`, `enlarge` or anything else, in order; for `enlarge` their own order is all."""
        wanted = {"txt2img": "txt2img", "enlarge": "enlarging"}.get(mode, "img2img")
        fitting = (wanted,) if wanted == "enlarging" else (wanted, "both")
        found = [
            (one, script)
            for one in self._extensions
            if one.loaded and not one.stopped
            for script in one.scripts
            if script.always_on == always_on and script.where in fitting
        ]
        return sorted(found, key=lambda pair: pair[1].order) if wanted == "enlarging" else found

    def find(self, title: str, mode: str, *, always_on: bool) -> tuple[Extension, Script]:
        """The script of that title, whatever its case. Raises `InvalidRequest` naming those that there are."""
        there = self.scripts(mode, always_on=always_on)
        found = next((pair for pair in there if pair[1].title.casefold() == title.strip().casefold()), None)
        if found is None:
            kind = "always-on script" if always_on else "script that owns a run"
            names = ", ".join(script.title for _, script in there) or "none"
            raise InvalidRequest(f"Script '{title:.100}' not found; of this kind ({kind}) there are: {names}.")
        return found

    def check(self, request: GenerationRequest) -> None:
        """Raise `InvalidRequest` for scripts that are not there and for values that their parameters do not take."""
        wanted = request.scripts
        uses: list[tuple[ScriptUse, bool]] = [(use, True) for use in wanted.always]
        if wanted.run is not None:
            uses.append((wanted.run, False))
        if wanted.run is not None and request.enlarge is not None:
            raise InvalidRequest("A job that makes pictures larger is owned by no script; leave script_name out.")
        for use, always_on in uses:
            _, script = self.find(use.name, request.mode, always_on=always_on)
            read_values(script.title, script.parameters, use.values)

    def storage(self, extension: Extension) -> Path:
        """The folder that is the extension's own."""
        return self._data / "extensions" / extension.name

    def settings(self, extension: Extension) -> dict[str, Any]:
        """The values of an extension's settings by name."""
        kept = self._kept["settings"].get(extension.name, {})
        return {
            item.name: kept.get(item.name, item.default) for script in extension.scripts for item in script.settings
        }

    def configure(self, name: str, changes: Mapping[str, Any]) -> None:
        """Change settings of an extension, all or none. Raises `InvalidRequest`."""
        with self._lock:
            extension = self.get(name)
            items = {item.name: item for script in extension.scripts for item in script.settings}
            accepted = dict(self._kept["settings"].get(extension.name, {}))
            for key, value in changes.items():
                if key not in items:
                    raise InvalidRequest(f"{extension.name} has no setting '{key:.60}'.")
                try:
                    accepted[key] = items[key].read(value)
                except ValueError as error:
                    raise InvalidRequest(f"{extension.name}: {key} is {value!r:.60}; {error}.") from error
            self._keep(settings={**self._kept["settings"], extension.name: accepted})

    def report(self, extension: Extension, what: str, error: BaseException) -> None:
        """Blame it for a failure, in the log and where its state is asked for."""
        extension.blame(what, error)
        log.error("extension %s: %s\n%s", extension.name, extension.error, extension.trace)

    def settle(self, extension: Extension, *, failed: bool) -> None:
        """A job in which it took part, or a call about a model, ended; `MOST_FAILURES` failed ones in a row stop it."""
        with self._lock:
            extension.failures = extension.failures + 1 if failed else 0
            if extension.failures >= MOST_FAILURES and not extension.stopped:
                extension.stopped = True
                notice = f"{extension.name} failed in {extension.failures} jobs in a row and was switched off."
                log.error("extension %s", notice)
                self._notice(notice)

    def loaded(self, name: str, family: str) -> None:
        """A model stands; scripts hear of it."""
        self._broadcast("model_loaded", name, family)

    def unloaded(self, name: str, family: str) -> None:
        """A model was let go of; scripts hear of it."""
        self._broadcast("model_unloaded", name, family)

    def _broadcast(self, method: str, *given: Any) -> None:
        for one in self._extensions:
            for script in one.scripts if one.loaded and not one.stopped else ():
                if overrides(script, method):
                    try:
                        self.caller.call(lambda script=script: getattr(script, method)(*given), QUICK_SECONDS)  # type: ignore[misc]
                    except Exception as error:  # border 'extension'
                        self.report(one, f"{script.title} failed in {method}", error)
                        self.settle(one, failed=True)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            for one in self._extensions:
                unload(one, self._quietly)
            self._extensions = ()
            self.caller.close()

    def _quietly(self, work: Callable[[], Any]) -> None:
        try:
            self.caller.call(work, QUICK_SECONDS)
        except Exception as error:  # border 'extension'
            log.error("an extension failed in closed: %s", reason_of(error))

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices = [*self.notices, text][-20:]

    def _recall(self) -> dict[str, Any]:
        path = self._data / "extensions.json"
        kept: dict[str, Any] = {"off": [], "settings": {}}
        if path.is_file():
            try:
                kept |= json.loads(path.read_text("utf-8"))
            except ValueError as error:
                log.warning("%s could not be read (%s); all extensions are on", path.name, error)
        return kept

    def _keep(self, **changes: Any) -> None:
        kept = {**self._kept, **changes}
        write_text(self._data / "extensions.json", json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
        self._kept = kept


def _nobody(extension: Extension) -> None:
    """Nobody has to be told."""
