"""Brings extensions in and takes them out, each change whole or not at all, and every one of the last few undone."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modules.bootstrap.installation import try_lock
from modules.contracts.errors import InvalidRequest, NotReady, UnknownName
from modules.contracts.installing import Action, Change, Installed, PackageChange, Source
from modules.scripts.installation import libraries, setup
from modules.scripts.installation.ledger import KEPT, Book, Entry, Ledger, Pending, State, Step
from modules.scripts.installation.solving import Solver
from modules.scripts.installation.sources import Fetched, fetch
from modules.scripts.installation.wishes import read_wishes
from modules.support.paths import ROOT

RUNS = ("install.py", "preload.py")
"""Files that are carried out by themselves, outside of jobs."""
NEXT_START = "Libraries that were in use and changed are seen at the studio's next start."
PINNED = (
    "It is pinned to commit {}, so the same files came; for newer ones remove it and install it without a commit, "
    "or with a branch."
)
_STAGE = ".stage-"
HELD = "install.py is carried out with the install; what it asks for then is held to the same rules."


@dataclass(frozen=True, slots=True)
class _Laid:
    """Libraries of a change that is under way."""

    number: int
    pins: Mapping[str, str]
    wishes: tuple[str, ...]
    """Of the extension that is brought in."""
    notes: tuple[str, ...] = ()


class ExtensionInstaller:
    """Implements `modules.contracts.installing.Installer` over a folder of extensions."""

    def __init__(
        self, extensions: Path, data: Path, *, models: Path = ROOT / "models", offline: bool = False, safe: bool = False
    ) -> None:
        """`data` is where what is known of them and their libraries are kept; `safe` lets nothing of them be seen."""
        self._extensions, self._data, self._models, self._offline, self._safe = extensions, data, models, offline, safe
        self._ledger = Ledger(extensions, data / "installed")
        self._solver = Solver(offline=offline)
        self.changed: Callable[[str], None] = _nobody
        """Is told the name of an extension whose files have changed."""

    def mount(self) -> None:
        """Let Python find the libraries of the extensions, behind everything else."""
        libraries.mount(None if self._safe else self.libraries)

    @property
    def libraries(self) -> Path | None:
        """The folder with the libraries of the extensions; None where none are needed."""
        number = self._ledger.read().state.libraries
        return self._ledger.libraries(number) if number else None

    def installed(self) -> tuple[Installed, ...]:
        """As `Installer` says."""
        return tuple(
            Installed(name, entry.kind, entry.source if entry.kind == "address" else "", entry.commit, entry.wishes)
            for name, entry in sorted(self._ledger.read().state.extensions.items())
        )

    def install(self, source: Source, *, dry_run: bool = False) -> Change:
        """As `Installer` says."""
        with self._alone() as book, self._stage() as stage:
            brought = fetch(source, stage, offline=self._offline)
            self._no_link(brought.name)
            if self._find(brought.name) is not None:
                raise InvalidRequest(
                    f"There is an extension {brought.name} already; update or remove it, or say a name."
                )
            return self._bring("install", book, source, brought, dry_run=dry_run)

    def update(self, name: str, *, dry_run: bool = False, local: bool = False) -> Change:
        """As `Installer` says; what came as a zip file has no place to be fetched from again."""
        with self._alone() as book, self._stage() as stage:
            name = self._name(name)
            entry = book.state.extensions.get(name)
            if entry is None or entry.kind == "archive":
                raise InvalidRequest(f"Nobody knows where {name} would come from; remove it and install it anew.")
            folder = Path(entry.source) if entry.kind == "folder" else None
            address = entry.source if entry.kind == "address" else ""
            if folder is not None and not folder.is_dir():
                raise InvalidRequest(f"The folder that {name} came from is not there any more.")
            source = Source(folder, address=address, commit=entry.wanted, name=name, local=True)
            brought = fetch(source, stage, offline=self._offline)
            if not local and (folder is not None or address.startswith("file:")):
                brought = replace(brought, words="its folder")
            change = self._bring("update", book, source, brought, dry_run=dry_run)
            if entry.wanted and entry.wanted.lower() == entry.commit:
                change = replace(change, notes=(*change.notes, PINNED.format(entry.commit)))
            return change

    def remove(self, name: str, *, dry_run: bool = False) -> Change:
        """As `Installer` says. Libraries go when nobody asks for any; single ones with the next change."""
        with self._alone() as book:
            name = self._name(name)
            left = {other: entry for other, entry in book.state.extensions.items() if other != name}
            state = State(left, book.state.libraries, book.state.pins)
            if not state.wishes():
                state = State(left)
            change = Change("remove", name, False, packages=_differences(book.state.pins, state.pins))
            if not dry_run:
                self._settle(book, "remove", name, None, state)
                change = replace(change, done=True)
            return change

    def rollback(self) -> Change:
        """As `Installer` says."""
        with self._alone() as book, self._stage() as stage:
            if not book.history:
                raise InvalidRequest("There is no change that could be undone.")
            step, now = book.history[-1], book.state
            self._no_link(step.name)
            kept, files, number = self._ledger.kept(step), None, book.number + 1
            if kept is not None:  # a copy, so that it is still there if this is cut short
                files = Path(shutil.copytree(kept, stage / "files", symlinks=True))
            pending = Pending(number, step.name, self._there(step.name))
            self._ledger.commit(book, pending, files, Book(number, step.before, book.history[:-1]))
            self._tell(step.name)
            packages = _differences(now.pins, step.before.pins)
            words = f"as it was before {step.action}"
            return Change("rollback", step.name, True, words, packages=packages, notes=_notes(packages))

    def _bring(self, action: Action, book: Book, source: Source, brought: Fetched, *, dry_run: bool) -> Change:
        """Solve, lay down, carry out, move, in this order; what fails before the last leaves nothing behind."""
        name, before = brought.name, book.state
        wishes = read_wishes(brought.folder)
        pins = self._solver.solve((*before.wishes(name), *wishes), before.pins)
        packages = _differences(before.pins, pins)
        change = Change(
            action,
            name,
            False,
            brought.words,
            brought.commit,
            brought.files,
            brought.bytes,
            wishes,
            packages,
            tuple(file for file in RUNS if (brought.folder / file).is_file()),
            (*_notes(packages), *((HELD,) if setup.is_there(brought.folder) else ())),
        )
        if dry_run:
            return change
        with self._libraries(book, brought, wishes, pins) as laid:
            state = State({**before.extensions, name: _entry(source, brought, laid.wishes)}, laid.number, laid.pins)
            self._settle(book, action, name, brought.folder, state)
        packages = _differences(before.pins, laid.pins)
        notes = (*_notes(packages), *laid.notes)
        return replace(change, done=True, requirements=laid.wishes, packages=packages, notes=notes)

    @contextlib.contextmanager
    def _libraries(
        self, book: Book, brought: Fetched, wishes: tuple[str, ...], pins: Mapping[str, str]
    ) -> Iterator[_Laid]:
        """A folder with those libraries and what `install.py` adds; one that is new goes when the block raises."""
        state, has_setup = book.state, setup.is_there(brought.folder)
        if pins == state.pins and not has_setup:
            yield _Laid(state.libraries, pins, wishes)
            return
        number = book.number + 1
        folder = self._ledger.libraries(number)
        shutil.rmtree(folder, ignore_errors=True)  # of a change that was cut short
        try:
            self._solver.lay(pins, folder)
            laid = _Laid(number, pins, wishes)
            if has_setup:
                laid = self._set_up(book, brought, laid)
            if not laid.pins or laid.pins == state.pins:
                shutil.rmtree(folder)
                laid = replace(laid, number=state.libraries if laid.pins else 0)
            yield laid
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _set_up(self, book: Book, brought: Fetched, laid: _Laid) -> _Laid:
        told = setup.carry_out(
            setup.Task(
                brought.name,
                str(brought.folder),
                str(self._ledger.libraries(laid.number)),
                str(self._data),
                str(self._models),
                (*book.state.wishes(brought.name), *laid.wishes),
                laid.pins,
                self._offline,
            )
        )
        refused = tuple(f"{setup.FILE} was refused: {reason}" for reason in told.refused)
        wishes = tuple(dict.fromkeys((*laid.wishes, *told.asked)))
        return replace(laid, pins=told.pins, wishes=wishes, notes=refused)

    def _settle(self, book: Book, action: Action, name: str, files: Path | None, state: State) -> None:
        number, had = book.number + 1, self._there(name)
        history = (*book.history, Step(number, action, name, had, book.state))[-KEPT:]
        self._ledger.commit(book, Pending(number, name, had), files, Book(number, state, history))
        self._tell(name)

    def _tell(self, name: str) -> None:
        self._ledger.prune(self._ledger.read())
        self.mount()
        self.changed(name)

    def _there(self, name: str) -> bool:
        return (self._extensions / name).is_dir()

    def _name(self, name: str) -> str:
        """The folder of that name, whatever its case. Raises `UnknownName`, and `InvalidRequest` for a link."""
        self._no_link(name)
        found = self._find(name)
        if found is None:
            raise UnknownName(f"There is no extension '{name:.100}' in a folder of its own.")
        return found

    def _no_link(self, name: str) -> None:
        """What somebody linked to is theirs: nothing of it is moved or thrown away. Raises `InvalidRequest`."""
        for path in self._extensions.iterdir():
            if path.is_symlink() and path.name.casefold() == name.casefold():
                raise InvalidRequest(
                    f"{path.name} is a link to a place elsewhere; take the link away by hand. Nothing was changed."
                )

    def _find(self, name: str) -> str | None:
        return next((one for one in self._names() if one.casefold() == name.casefold()), None)

    def _names(self) -> list[str]:
        folders = self._extensions.iterdir() if self._extensions.is_dir() else ()
        return [path.name for path in folders if path.is_dir() and not path.name.startswith((".", "_"))]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[Book]:
        """One change at a time, whichever process makes it. Raises `NotReady` while another is under way."""
        self._ledger.lock.parent.mkdir(parents=True, exist_ok=True)
        self._extensions.mkdir(parents=True, exist_ok=True)
        with self._ledger.lock.open("a+b") as handle:
            if not try_lock(handle.fileno()):
                raise NotReady("Another change of the extensions is under way; try again when it has ended.")
            for left_over in self._extensions.glob(f"{_STAGE}*"):  # of changes that were killed
                shutil.rmtree(left_over, ignore_errors=True)
            book = self._ledger.recover()
            # Folders that somebody took away by hand ask for nothing any more.
            there = set(self._names())
            left = {name: entry for name, entry in book.state.extensions.items() if name in there}
            yield replace(book, state=replace(book.state, extensions=left))

    @contextlib.contextmanager
    def _stage(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._extensions, prefix=_STAGE) as folder:
            yield Path(folder)


def _entry(source: Source, brought: Fetched, wishes: tuple[str, ...]) -> Entry:
    if source.folder is not None:
        return Entry("folder", str(source.folder.resolve()), wishes=wishes)
    wanted = source.commit if source.follow is None else source.follow
    return Entry("archive" if source.archive else "address", source.address, wanted, brought.commit, wishes)


def _nobody(name: str) -> None:
    """Nobody has to be told."""


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[PackageChange, ...]:
    names = sorted({*before, *after})
    return tuple(
        PackageChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _notes(packages: tuple[PackageChange, ...]) -> tuple[str, ...]:
    return (NEXT_START,) if any(one.before is not None for one in packages) else ()
