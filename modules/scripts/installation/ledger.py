"""What was brought in, from where, with which libraries, and the way back: one JSON file and the folders it names."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modules.contracts.errors import StudioError
from modules.contracts.installing import Action
from modules.support.atomic import write_text

KEPT = 5
"""How many changes can be undone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One extension that was brought in."""

    kind: Literal["folder", "archive", "address"]
    source: str
    """The folder or the address; nothing for an archive."""
    wanted: str = ""
    """The branch, tag or commit that was asked for."""
    commit: str = ""
    wishes: tuple[str, ...] = ()
    """Libraries that it asks for."""


@dataclass(frozen=True, slots=True)
class State:
    """What there is at one time."""

    extensions: Mapping[str, Entry] = field(default_factory=dict)
    libraries: int = 0
    """Number of the folder with the libraries; 0 where none are needed."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """What lies in it."""

    def wishes(self, without: str = "") -> tuple[str, ...]:
        """What all extensions but one ask for."""
        asked = (wish for name, entry in self.extensions.items() if name != without for wish in entry.wishes)
        return tuple(dict.fromkeys(asked))


@dataclass(frozen=True, slots=True)
class Step:
    """A change that was made."""

    number: int
    """Also the name of the folder in which the extension is kept as it was before."""
    action: Action
    name: str
    had: bool
    """There was such a folder before."""
    before: State


@dataclass(frozen=True, slots=True)
class Pending:
    """A change whose folders are being moved."""

    number: int
    name: str
    had: bool


@dataclass(frozen=True, slots=True)
class Book:
    """The whole file."""

    number: int = 0
    """Of the newest change."""
    state: State = field(default_factory=State)
    history: tuple[Step, ...] = ()
    pending: Pending | None = None


class Ledger:
    """Folders move by renaming within `extensions`, so that each is there whole or not at all."""

    def __init__(self, extensions: Path, folder: Path) -> None:
        """`folder` holds the file and the libraries; former states of extensions are kept beside those that stand."""
        self._extensions, self._folder = extensions, folder
        self._kept = extensions / ".kept"

    @property
    def lock(self) -> Path:
        """Held while something changes."""
        return self._folder / "lock"

    def libraries(self, number: int) -> Path:
        """The folder of that number."""
        return self._folder / "libraries" / str(number)

    def read(self) -> Book:
        """What is written. Raises `StudioError` for a file that is damaged: nothing is guessed."""
        path = self._folder / "book.json"
        if not path.is_file():
            return Book()
        try:
            return _book(json.loads(path.read_text("utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise StudioError(f"{path.name} of the installed extensions is damaged: {error}.") from error

    def write(self, book: Book) -> None:
        """Replace what is written, in one step."""
        text = json.dumps(dataclasses.asdict(book), indent=1, ensure_ascii=False)
        write_text(self._folder / "book.json", text + "\n")

    def recover(self) -> Book:
        """What is written, after a change that was cut short was taken back."""
        book = self.read()
        if book.pending is not None:
            self._take_back(book.pending)
            book = dataclasses.replace(book, pending=None)
            self.write(book)
        return book

    def commit(self, book: Book, pending: Pending, files: Path | None, after: Book) -> None:
        """Put `files`, or nothing, in the place of the extension, and write `after`. When it raises nothing changed."""
        place, kept = self._extensions / pending.name, self._kept / str(pending.number)
        self.write(dataclasses.replace(book, pending=pending))
        try:
            if pending.had:
                kept.parent.mkdir(parents=True, exist_ok=True)
                place.rename(kept)
            if files is not None:
                files.rename(place)
            self.write(after)
        except BaseException:
            self._take_back(pending)
            self.write(book)
            raise

    def kept(self, step: Step) -> Path | None:
        """The extension as it was before that change."""
        return self._kept / str(step.number) if step.had else None

    def prune(self, book: Book) -> None:
        """Throw away what nothing leads back to."""
        steps = {str(step.number) for step in book.history}
        needed = {str(state.libraries) for state in (book.state, *(step.before for step in book.history))}
        for folder, names in ((self._kept, steps), (self._folder / "libraries", needed)):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name not in names:
                    _throw_away(path)

    def _take_back(self, pending: Pending) -> None:
        place, kept = self._extensions / pending.name, self._kept / str(pending.number)
        if pending.had and not os.path.lexists(kept):
            return  # it was not moved yet
        if os.path.lexists(place):
            _throw_away(place)
        if pending.had:
            kept.rename(place)


def _throw_away(path: Path) -> None:
    """A folder with all that is in it; of a link only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def _book(found: dict[str, Any]) -> Book:
    pending = found["pending"]
    history = tuple(
        Step(row["number"], row["action"], row["name"], row["had"], _state(row["before"])) for row in found["history"]
    )
    return Book(found["number"], _state(found["state"]), history, None if pending is None else Pending(**pending))


def _state(found: dict[str, Any]) -> State:
    entries = {name: Entry(**{**row, "wishes": tuple(row["wishes"])}) for name, row in found["extensions"].items()}
    return State(entries, found["libraries"], dict(found["pins"]))
