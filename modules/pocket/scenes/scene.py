"""What a picture of the pocket world shows, as data. A scene has no size in pixels: it is drawn at any side."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing; `kind` of KINDS and `colour` of COLOURS. Lengths are shares of the picture's side."""

    kind: str
    colour: str
    x: float
    y: float
    """The centre, from the left and from the top."""
    radius: float
    """Of the circle that the thing about fills."""
    angle: float
    """Degrees, anticlockwise."""
    variant: int
    """Seed of what varies within a kind."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The background; `kind` of GROUNDS, `colours` one for "plain", two for "gradient", none for the others."""

    kind: str
    colours: tuple[str, ...]
    variant: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Either one to five things of one kind and colour, or a pair of two things that stand in a relation."""

    things: tuple[Thing, ...]
    ground: Ground
    style: str
    size: str
    """Of SIZES; "medium" where there is more than one thing."""
    place: str
    """Of PLACES, for one thing; "middle" where there are more."""
    relation: str | None = None
    """Of RELATIONS, for a pair: where the first thing stands to the second."""

    @property
    def count(self) -> int:
        """How many things there are; 2 for a pair."""
        return len(self.things)
