"""What came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


SHEET = "sheet"
"""True in the recipe of a picture that a script made of others: the old API answers with it first."""


@dataclass(frozen=True, slots=True)
class Film:
    """Pictures of one size that follow each other."""

    frames: tuple[Image, ...] = field(repr=False)
    fps: int
    """Frames a second."""
    format: str
    """The file format that was asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class DeepImage:
    """A picture of sixteen bits a channel, which Pillow has no mode for."""

    pixels: Any = field(repr=False)
    """An array of uint16, (height, width, 3), or 4 with what is opaque last."""
    shown: Image = field(repr=False)
    """The upper eight bits, as every program shows it that knows no more."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One finished picture with everything needed to draw it again."""

    index: int
    """Position within the job, from 0, over all batches. Together with the job's id it is unique."""
    image: Image = field(repr=False)
    seed: int
    subseed: int
    prompt: str
    negative: str
    infotext: str
    """A1111 infotext."""
    recipe: Mapping[str, Any] = field(repr=False)
    """The whole recipe, ready for JSON."""
    film: Film | None = field(default=None, repr=False)
    """All of it, where it moves; `image` is its first frame then."""
    deep: DeepImage | None = field(default=None, repr=False)
    """All of it, where it has sixteen bits a channel; `image` is the upper eight then."""

    @property
    def content(self) -> Image | Film | DeepImage:
        """What a file of it holds."""
        return self.film or self.deep or self.image


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The pictures of one job, in order of index; fewer than asked for when it was interrupted or skipped."""

    pictures: tuple[Picture, ...]
    resolved: Mapping[str, Any]
    """Resolved values that all pictures share, by `Declared.name` (`sampling.steps` …), plus `model`, `model_hash`."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    interrupted: bool = False
