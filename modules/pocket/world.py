"""The world the pocket model knows: figures, colours, places, counts and grounds, and how one scene is drawn by lot.

A scene is a description only; `render` draws it and `captions` puts it into words. Every scene follows from two whole
numbers, so a data set is a seed and a length. Combinations of figure, colour and plain ground that are listed in
`configs/pocket-heldout.json` never come up here; the evaluation asks for exactly those.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

SIDE = 128
"""Width and height of a scene, in pixels."""

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 36, 40),
    "green": (40, 158, 62),
    "blue": (36, 84, 214),
    "yellow": (250, 218, 42),
    "orange": (250, 132, 20),
    "purple": (128, 52, 172),
    "pink": (250, 152, 192),
    "black": (18, 18, 22),
    "white": (248, 248, 248),
}

SPECIAL_GROUNDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "sky": ((84, 160, 236), (226, 240, 252)),
    "sunset": ((96, 58, 140), (252, 156, 84)),
    "checkerboard": ((212, 212, 212), (150, 150, 150)),
}
"""Two colours each: top and bottom of a gradient, or the two fields of the board."""

SIZES = ("small", "default", "large")
PLACES = ("centre", "left", "right", "top", "bottom")
COUNTS = (1, 2, 3)

HELD_OUT_FILE = Path(__file__).resolve().parents[2] / "configs" / "pocket-heldout.json"

_RADII = {"small": (15.0, 20.0), "default": (29.0, 37.0), "large": (43.0, 50.0)}
_OFFSETS = {"centre": (0, 0), "left": (-30, 0), "right": (30, 0), "top": (0, -30), "bottom": (0, 30)}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: centre and radius in pixels, angle in degrees, anticlockwise."""

    x: float
    y: float
    radius: float
    angle: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows. All its figures have the same shape and colour."""

    shape: str
    colour: str
    ground: str
    size: str
    place: str
    figures: tuple[Figure, ...]
    tint: tuple[int, int, int, int, int, int]
    """Small deviations from the named colours: figure red, green, blue, then ground red, green, blue."""

    @property
    def count(self) -> int:
        """How many figures there are, 1 to 3."""
        return len(self.figures)

    @property
    def combination(self) -> tuple[str, str, str]:
        """(shape, colour, ground), what the held-out rule speaks about."""
        return (self.shape, self.colour, self.ground)


@lru_cache(maxsize=4)
def held_out(path: Path = HELD_OUT_FILE) -> frozenset[tuple[str, str, str]]:
    """The (shape, colour, ground) combinations that training never shows. Raises OSError where the file is missing."""
    rows = json.loads(path.read_text(encoding="utf-8"))["combinations"]
    return frozenset((str(shape), str(colour), str(ground)) for shape, colour, ground in rows)


def draw_scene(seed: int, index: int) -> Scene:
    """Scene number `index` of the data set `seed`: always the same one, and never a held-out combination."""
    lot = np.random.default_rng([seed, index])
    while True:
        shape, colour, ground = _pick_combination(lot)
        if (shape, colour, ground) not in held_out():
            return _compose(lot, shape, colour, ground)


def plain_scene(seed: int, shape: str, colour: str, ground: str) -> Scene:
    """One figure of default size near the centre, in any combination, held out or not: for tests and for the judge."""
    lot = np.random.default_rng([seed, 7])
    return Scene(shape, colour, ground, "default", "centre", _single(lot, "default", "centre"), _tint(lot))


def _pick_combination(lot: np.random.Generator) -> tuple[str, str, str]:
    shape = str(lot.choice(SHAPES))
    colour = str(lot.choice(list(COLOURS)))
    grounds = [name for name in COLOURS if name != colour] if lot.random() < 0.88 else list(SPECIAL_GROUNDS)
    return shape, colour, str(lot.choice(grounds))


def _compose(lot: np.random.Generator, shape: str, colour: str, ground: str) -> Scene:
    kind = lot.random()
    if kind < 0.15:
        count = 2 + int(lot.random() < 0.5)
        return Scene(shape, colour, ground, "default", "centre", _row(lot, count), _tint(lot))
    size = str(lot.choice(("small", "large"))) if lot.random() < 0.25 else "default"
    place = str(lot.choice(PLACES[1:])) if lot.random() < 0.22 else "centre"
    return Scene(shape, colour, ground, size, place, _single(lot, size, place), _tint(lot))


def _single(lot: np.random.Generator, size: str, place: str) -> tuple[Figure, ...]:
    radius = float(lot.uniform(*_RADII[size]))
    if place != "centre":
        radius *= 0.8
    reach = radius * 1.22 + 3
    dx, dy = _OFFSETS[place]
    x = float(np.clip(SIDE / 2 + dx + lot.uniform(-5, 5), reach, SIDE - reach))
    y = float(np.clip(SIDE / 2 + dy + lot.uniform(-5, 5), reach, SIDE - reach))
    return (Figure(x, y, radius, float(lot.uniform(-5, 5))),)


def _row(lot: np.random.Generator, count: int) -> tuple[Figure, ...]:
    radius = float(lot.uniform(20, 24) if count == 2 else lot.uniform(14.5, 16.5))
    step = SIDE / count
    return tuple(
        Figure(
            step * (place + 0.5) + float(lot.uniform(-1.5, 1.5)),
            SIDE / 2 + float(lot.uniform(-4, 4)),
            radius,
            float(lot.uniform(-5, 5)),
        )
        for place in range(count)
    )


def _tint(lot: np.random.Generator) -> tuple[int, int, int, int, int, int]:
    a, b, c, d, e, f = (int(value) for value in lot.integers(-6, 7, size=6))
    return (a, b, c, d, e, f)
