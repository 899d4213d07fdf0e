"""Finding a model by what a person or a program calls it. A name is looked up in a table and never becomes a path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable, Mapping, Sequence

from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import UnknownModel

SHOWN = 10
"""Names that a sentence lists at most."""

TITLE = re.compile(r"(?P<name>.*\S)\s*\[(?P<hash>[0-9a-fA-F]{8,64})\]")
MAX_NAME = 1000


def keys_of(entry: ModelEntry, relative: str) -> tuple[str, ...]:
    """Everything by which one model may be called, hashes apart."""
    names = (
        entry.name,
        relative,
        entry.path.name,
        relative.rpartition(".")[0] if entry.layout == "single_file" else "",
    )
    return tuple(dict.fromkeys(name for name in names if name))


def look_up(wanted: str, entries: Iterable[ModelEntry], calls: Mapping[str, tuple[str, ...]]) -> ModelEntry:
    """The one entry that `wanted` means: a name, a title, a hash, a file name; either slash; any case if unambiguous.

    `calls` has the names of each entry by its catalogue name. Raises `UnknownModel` with near names.
    """
    clean = wanted[:MAX_NAME].strip().replace("\\", "/")
    entries = tuple(entries)
    title = TITLE.fullmatch(clean)
    if title:
        by_hash = _with_hash(title["hash"], entries)
        named = _named(title["name"], entries, calls)
        if by_hash:
            return next((entry for entry in by_hash if entry in named), by_hash[0])
        fitting = [entry for entry in named if entry.short_hash is None]
        if len(fitting) == 1:
            return fitting[0]
        if named:
            raise UnknownModel(f"No model {wanted!r}; {named[0].name} has the hash {named[0].short_hash} now.")
    found = _named(clean, entries, calls) or _with_hash(clean, entries)
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownModel(
            f"{wanted!r} may mean {' or '.join(entry.name for entry in found)}; name one of them in full."
        )
    near = near_names(clean, [entry.name for entry in entries], none="the catalogue is empty")
    raise UnknownModel(f"No model {wanted[:200]!r}; {near}.")


def _with_hash(text: str, entries: tuple[ModelEntry, ...]) -> list[ModelEntry]:
    digits = text.lower()
    if len(digits) < 8:
        return []
    return [entry for entry in entries if entry.sha256 and entry.sha256.startswith(digits)]


def _named(name: str, entries: tuple[ModelEntry, ...], calls: Mapping[str, tuple[str, ...]]) -> list[ModelEntry]:
    exact = [entry for entry in entries if entry.name == name]
    if exact:
        return exact
    called = [entry for entry in entries if name in calls[entry.name]]
    if called:
        return called
    folded = name.casefold()
    return [entry for entry in entries if any(folded == call.casefold() for call in calls[entry.name])]


def near_names(name: str, known: Sequence[str], *, none: str = "known are none") -> str:
    """For the end of a sentence: names like one that is not there, else some of those that are, else `none`."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"near names are {', '.join(near)}"
    if not known:
        return none
    shown = ", ".join(known[:SHOWN])
    return f"known are {shown}{' and ' + str(len(known) - SHOWN) + ' more' if len(known) > SHOWN else ''}"


def free_name(stem: str, folder: str, taken: Container[str]) -> str:
    """`stem`, or where that is taken, the folder's name before it, or else a number behind it."""
    name, number = stem, 2
    if name in taken:
        name = f"{folder}/{stem}"
    while name in taken:
        name, number = f"{stem} ({number})", number + 1
    return name
