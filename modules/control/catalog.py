"""Which ControlNets, T2I-Adapters and IP-Adapters there are, and the preprocessors. Imports no torch."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modules.contracts.control import ControlUnit
from modules.contracts.controls import ControlEntry, PreprocessorEntry
from modules.contracts.errors import BrokenModel, UnknownModel
from modules.control import table
from modules.control.annotators import equip
from modules.control.encoders import find_encoder, is_encoder, say_missing
from modules.control.inspection import inspect, short_hash
from modules.sd_models.names import free_name, near_names
from modules.sd_models.scan import PICKLES, find_files, signature
from modules.support.paths import Paths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modules.control.preprocessors.networks import Annotators

KIND, ADAPTERS, PROMPTERS = "controlnet", "t2i-adapter", "ip-adapter"
"""Kinds of files that are looked for."""
REST_SECONDS = 2.0
"""From one look at the folders to the next that somebody asks for."""


class ControlCatalog:
    """Implements `modules.contracts.controls.Controls`. Safe from any thread."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._known: dict[str, ControlEntry] = {}
        """By signature: a file that stayed as it was is not opened again."""
        self._entries: tuple[ControlEntry, ...] | None = None
        self._preprocessors = table.ALL
        self._annotators: Annotators | None = None
        self._due = False
        self._rested = 0.0

    def models(self) -> tuple[ControlEntry, ...]:
        """All, usable ones first, each group by name."""
        with self._lock:
            now = time.monotonic()
            if self._entries is None or (self._due and now >= self._rested):
                self._due, self._entries = False, self._look()
                self._rested = time.monotonic() + REST_SECONDS
            return self._entries

    def find_model(self, name: str) -> ControlEntry:
        """The one of that name, title or hash, whatever its case and its file's ending.

        Raises `UnknownModel` with near names, or `BrokenModel` with the reason.
        """
        wanted, entries = name.strip().replace("\\", "/"), self.models()
        folded = wanted.casefold()
        plain = folded.rpartition(" [")[0] if folded.endswith("]") else folded
        tests = (
            lambda entry: entry.title == wanted or entry.name == wanted,
            lambda entry: entry.title.casefold() == folded,
            lambda entry: plain in (entry.name.casefold(), entry.path.name.casefold()),
            lambda entry: len(folded) == 8 and entry.short_hash == folded,
        )
        for test in tests:
            for entry in entries:
                if not test(entry):
                    continue
                if entry.problem is not None:
                    raise BrokenModel(entry.problem)
                return entry
        near = near_names(name, [entry.name for entry in entries])
        raise UnknownModel(f"There is no ControlNet {name!r}; {near}.")

    def preprocessors(self) -> tuple[PreprocessorEntry, ...]:
        """All in display order, those that lack something included."""
        self.models()
        return self._preprocessors

    def find_preprocessor(self, name: str) -> PreprocessorEntry:
        """The one of that name or alias. Raises `UnsupportedFeature` or `InvalidRequest`."""
        return table.find_preprocessor(name, self.preprocessors())

    def see(
        self, entry: PreprocessorEntry, image: NDArray[np.uint8], numbers: Sequence[float] = ()
    ) -> NDArray[np.uint8]:
        """The map that the entry's network makes of a picture. Raises `BrokenModel`."""
        from modules.control.preprocessors.networks import Annotators

        with self._lock:
            self._annotators = self._annotators or Annotators()
        return self._annotators.see(entry, image, numbers)

    def detect(self, unit: ControlUnit) -> bytes:
        """What the unit's preprocessor makes of its picture, as PNG, shuffled by the seed 0.

        The map is of the size at which the preprocessor looks at the picture, as the extension's is; pixel-perfect
        units look at it as it is. What an inpaint preprocessor hides is black.
        """
        from modules.control.showing import show

        entry = self.find_preprocessor(unit.module)
        buffer = io.BytesIO()
        show(entry, unit, self.see).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def refresh(self) -> None:
        """Look at the folders again, at most every `REST_SECONDS`; a wish that comes sooner is met after that."""
        with self._lock:
            self._due = True
        self.models()

    def empty(self) -> None:
        """Let go of all networks of preprocessors that nobody looks with."""
        with self._lock:
            annotators = self._annotators
        if annotators is not None:
            annotators.empty()

    def _look(self) -> tuple[ControlEntry, ...]:
        self._preprocessors = equip(table.ALL, self._paths.models, self._paths.hub)
        known, rows = {}, dict[str, ControlEntry]()
        for wanted, path in self._files():
            try:
                sign, size = signature(path)
            except OSError:
                continue  # it went away while we looked
            name = free_name(wanted, path.parent.name, rows)
            found = self._known.get(f"{name} {sign}") or _entry(name, path, size)
            known[f"{name} {sign}"] = found
            rows[name] = self._with_encoder(found)
        self._known = known
        order = sorted(rows.values(), key=lambda entry: (entry.problem is not None, entry.name.casefold()))
        return tuple(order)

    def _with_encoder(self, entry: ControlEntry) -> ControlEntry:
        """An IP-Adapter with the encoder that it reads, looked for anew each time."""
        if entry.wish is None:
            return entry
        encoder = find_encoder(entry.path, entry.wish, self._paths.models)
        return replace(entry, encoder=encoder, problem=None if encoder else say_missing(entry.name, entry.wish))

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Names and places: those that ship with the program, then the installation's own."""
        shipped = self._paths.pocket
        for kind in (KIND, ADAPTERS):
            for config in sorted((shipped / kind).glob("*/config.json")):
                yield f"{shipped.name}-{config.parent.name}", config.parent
        yield from ((path.stem, path) for path in sorted((shipped / PROMPTERS).glob("*.safetensors")))
        for kind in (KIND, PROMPTERS):
            for path in find_files(self._paths.models, kind):
                if not is_encoder(path):
                    yield path.name if path.is_dir() else path.stem, path


def _entry(name: str, path: Path, size: int) -> ControlEntry:
    if path.suffix.lower() in PICKLES:
        return ControlEntry(
            name,
            path,
            None,
            size_bytes=size,
            problem=f"{path.name} is a pickled file, which could run any program when opened; convert it with: "
            f"python launch.py models convert {path.name}",
        )
    try:
        found = inspect(path)
    except BrokenModel as error:
        return ControlEntry(name, path, None, size_bytes=size, problem=error.message)
    except OSError as error:
        problem = f"{path.name} cannot be read: {error.strerror}."
        return ControlEntry(name, path, None, size_bytes=size, problem=problem)
    return ControlEntry(name, path, found.kind, found.base, short_hash(path), size, wish=found.wish)
