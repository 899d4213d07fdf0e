"""What a measured figure has to reach, and the finding that holds figures, bars and pictures of one property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.pocket.evaluation.colours import Picture


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure and the bound that it is held to; a figure of None was not to be had and meets nothing."""

    name: str
    value: float | None
    bound: float
    least: bool = True
    """Whether `bound` is the least that is allowed, or the most."""

    @property
    def met(self) -> bool:
        """Whether the figure reaches its bound; the bound itself is enough."""
        if self.value is None:
            return False
        return self.value >= self.bound if self.least else self.value <= self.bound

    def as_json(self) -> dict[str, Any]:
        """The bar as one object of JSON."""
        value = None if self.value is None else round(self.value, 4)
        return {"name": self.name, "value": value, "least" if self.least else "most": self.bound, "met": self.met}


@dataclass(frozen=True, slots=True)
class Shown:
    """A judged picture for the contact sheet, and whether it is what was asked for."""

    picture: Picture
    right: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What one property gave."""

    bars: tuple[Bar, ...]
    figures: dict[str, Any] = field(default_factory=dict)
    """Further figures that are held to nothing: numbers, words, or dicts of them."""
    shown: tuple[Shown, ...] = ()

    @property
    def met(self) -> bool:
        """Whether every bar is met."""
        return all(bar.met for bar in self.bars)

    def as_json(self) -> dict[str, Any]:
        """Bars and figures; the pictures stay behind."""
        return {"met": self.met, "bars": [bar.as_json() for bar in self.bars], **self.figures}


def share(hits: Sequence[bool]) -> float | None:
    """How many of the hits are true, 0 to 1; None where there are none at all."""
    return sum(hits) / len(hits) if hits else None
