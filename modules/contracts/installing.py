"""Bringing extensions in, changing and removing them: what the fronts ask for, and what would become different."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from modules.contracts.errors import InvalidRequest

Action = Literal["install", "update", "remove", "rollback"]
NOT_UNKNOWN = (
    "Extensions are changed by an admin who has signed in, or at the terminal: python launch.py ext install. "
    "An account is made with: python launch.py users add NAME --role admin."
)
"""Why nobody may do that who need not say who they are."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an extension comes from: exactly one of folder, archive and address."""

    folder: Path | None = None
    """A folder of this machine; from the terminal only."""
    archive: bytes = field(default=b"", repr=False)
    """A zip file's bytes."""
    address: str = ""
    """A git repository: `https://…`, `ssh://…`, and from the terminal `file://…`."""
    commit: str = ""
    """The commit, branch or tag to take from it; its default branch where this is empty."""
    follow: str | None = None
    """The branch or tag that updates take, empty for the default branch, where `commit` is what was looked at of it.
    None is `commit` itself."""
    name: str = ""
    """What the extension is to be called; otherwise its source says it."""
    local: bool = False
    """Asked for at this machine's terminal: folders and `file://` are allowed."""


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A library that extensions need: which version there was, and which there will be; None is none."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What an action does, or what it would do."""

    action: Action
    name: str
    done: bool
    """False for a dry run: nothing is different yet."""
    source: str = ""
    """As a sentence for people; never a path of this machine where the source was sent over the network."""
    commit: str = ""
    """The commit that was taken, in full; asked for again, the same files come."""
    files: int = 0
    bytes: int = 0
    requirements: tuple[str, ...] = ()
    """What its files ask for."""
    packages: tuple[PackageChange, ...] = ()
    """Libraries that are added, changed or dropped. Those of the studio itself are never among them."""
    runs: tuple[str, ...] = ()
    """Files of the extension that are carried out outside of jobs: `install.py`, `preload.py`."""
    notes: tuple[str, ...] = ()
    """What a person should know, e.g. that a start is needed."""


@dataclass(frozen=True, slots=True)
class Installed:
    """An extension that was brought in, and from where."""

    name: str
    kind: Literal["folder", "archive", "address"]
    address: str
    """Of its repository; empty where there is none."""
    commit: str
    """Its commit, in full."""
    requirements: tuple[str, ...]
    """Libraries that it asks for."""


class Installer(Protocol):
    """Changes which extensions there are. One change at a time; one that fails leaves everything as it was."""

    def installed(self) -> tuple[Installed, ...]:
        """Those that were brought in, by name; folders that somebody laid down by hand are not among them."""

    def install(self, source: Source, *, dry_run: bool = False) -> Change:
        """Bring one in. Raises `InvalidRequest` for what cannot be, `NotReady` where nobody answers."""

    def update(self, name: str, *, dry_run: bool = False, local: bool = False) -> Change:
        """Fetch it again from where it came. Raises as `install`, and `UnknownName`.

        `local` says that it is asked for at this machine's terminal: only there the answer names a folder.
        """

    def remove(self, name: str, *, dry_run: bool = False) -> Change:
        """Take its folder away, in a manner that `rollback` undoes. Raises `UnknownName`."""

    def rollback(self) -> Change:
        """Undo the newest change that is not undone. Raises `InvalidRequest` where there is none."""


class NoInstaller:
    """Of a studio that installs nothing."""

    def installed(self) -> tuple[Installed, ...]:
        """None."""
        return ()

    def install(self, source: Source, *, dry_run: bool = False) -> Change:
        """Never."""
        raise InvalidRequest("This studio installs no extensions.")

    def update(self, name: str, *, dry_run: bool = False, local: bool = False) -> Change:
        """Never."""
        raise InvalidRequest("This studio installs no extensions.")

    def remove(self, name: str, *, dry_run: bool = False) -> Change:
        """Never."""
        raise InvalidRequest("This studio installs no extensions.")

    def rollback(self) -> Change:
        """Never."""
        raise InvalidRequest("This studio installs no extensions.")
