"""What finds regions in pictures: the rows of detectors, and who knows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from modules.contracts.errors import UnknownModel

DetectorKind = Literal["colour", "contrast", "mask", "yolo", "yunet", "boxes", "segments"]


@dataclass(frozen=True, slots=True)
class DetectorEntry:
    """One detector. `problem` is None when it can be used."""

    name: str
    kind: DetectorKind | None
    path: Path | None = None
    """A file or folder; None for those that need no weights."""
    problem: str | None = None
    """Why it cannot be used, as one sentence."""
    size_bytes: int = 0


class Detectors(Protocol):
    """Who finds regions. Reading never imports torch."""

    def entries(self) -> tuple[DetectorEntry, ...]:
        """All: those without weights, then usable files, then others, each group by name."""

    def find(self, name: str) -> DetectorEntry:
        """The one of that name, with or without the ending of a file. Raises `UnknownModel` with the known ones, or
        `BrokenModel`."""

    def refresh(self) -> None:
        """Look at the folders again."""


class NoDetectors:
    """Stands where there are none."""

    def entries(self) -> tuple[DetectorEntry, ...]:
        """None."""
        return ()

    def find(self, name: str) -> DetectorEntry:
        """Nothing is found."""
        raise UnknownModel(f"There is no detector {name!r}; known are none.")

    def refresh(self) -> None:
        """Nothing to look at."""
