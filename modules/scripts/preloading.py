"""`preload.py` of extensions: `preload(parser)` adds flags to the command line, whose values the extension reads later.

The studio's own flags are read long before, by a process that loads nothing of anybody's; it hands on what it does not
know. What no extension knows either keeps the studio from starting, as a misspelt flag should.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from modules.contracts.errors import InvalidRequest
from modules.scripts.loading import Extension, Prepare, as_it_is, load, unload

log = logging.getLogger(__name__)
FILE = "preload.py"


class _Parser(argparse.ArgumentParser):
    """Raises where others end the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


class Preloads:
    """The flags of all extensions, and the words that are left for them."""

    def __init__(
        self, words: Sequence[str] = (), tell: Callable[[Mapping[str, Any]], None] = lambda values: None
    ) -> None:
        """`words` is what the studio's own flags left over; `tell` gets the values by name whenever there are more."""
        self._words, self._tell = tuple(words), tell
        self._parsers: dict[str, argparse.ArgumentParser] = {}
        self._failed: set[str] = set()

    def read(self, extension: Extension, prepare: Prepare = as_it_is) -> None:
        """Carry the extension's file out, if it has one. What goes wrong is kept in the extension, never raised."""
        file = extension.folder / FILE
        if extension.alone or not file.is_file():
            return
        parser = _Parser(prog=extension.name, add_help=False, allow_abbrev=False)

        def ask(module: ModuleType) -> tuple[()]:
            preload = getattr(module, "preload", None)
            if callable(preload):
                preload(parser)
            return ()

        self._failed.discard(extension.name)
        apart = Extension(extension.name, extension.folder, ())
        load(apart, (file,), (ask,), prepare)
        if apart.error:
            self._failed.add(extension.name)
            extension.error, extension.trace = apart.error, apart.trace
            return
        unload(apart, lambda work: work())
        before = self._parsers.get(extension.name)
        self._parsers[extension.name] = parser
        try:
            self._tell(self._parse()[0])
        except ValueError as error:
            self._failed.add(extension.name)
            extension.blame(f"The flags of {extension.name} could not be read", error)
            del self._parsers[extension.name]
            if before is not None:
                self._parsers[extension.name] = before

    def _parse(self) -> tuple[dict[str, Any], list[str]]:
        values: dict[str, Any] = {}
        rest = list(self._words)
        for parser in self._parsers.values():
            found, rest = parser.parse_known_args(rest)
            values |= {name: value for name, value in vars(found).items() if name not in values}
        return values, rest

    def check(self) -> None:
        """Raise `InvalidRequest` for a word that belongs to no extension; it may be one of those that failed."""
        rest = self._parse()[1]
        if rest and self._failed:
            log.warning("flags that nobody read, as %s failed: %s", ", ".join(sorted(self._failed)), " ".join(rest))
        elif rest:
            raise InvalidRequest(
                f"{' '.join(rest)[:200]}: neither the studio nor an extension that is on knows this flag."
            )
