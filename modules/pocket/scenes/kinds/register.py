"""Every kind of the vocabulary and the function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random

from modules.pocket.scenes.kinds import animals, figures, nature, objects
from modules.pocket.scenes.shapes import Part, normalise

Maker = Callable[[Random], list[Part]]

MAKERS: dict[str, Maker] = {
    "circle": figures.draw_circle,
    "square": figures.draw_square,
    "triangle": figures.draw_triangle,
    "star": figures.draw_star,
    "heart": figures.draw_heart,
    "cross": figures.draw_cross,
    "diamond": figures.draw_diamond,
    "ring": figures.draw_ring,
    "sun": nature.draw_sun,
    "moon": nature.draw_moon,
    "cloud": nature.draw_cloud,
    "tree": nature.draw_tree,
    "flower": nature.draw_flower,
    "house": objects.draw_house,
    "boat": objects.draw_boat,
    "car": objects.draw_car,
    "fish": animals.draw_fish,
    "cat": animals.draw_cat,
    "bird": animals.draw_bird,
    "mountain": nature.draw_mountain,
    "balloon": objects.draw_balloon,
    "mushroom": nature.draw_mushroom,
    "cup": objects.draw_cup,
    "rocket": objects.draw_rocket,
    "umbrella": objects.draw_umbrella,
    "apple": nature.draw_apple,
}


@lru_cache(maxsize=512)
def make_parts(kind: str, variant: int) -> tuple[Part, ...]:
    """The parts of a thing in the order of painting, within the circle of radius 1; the same for the same variant.

    Raises ValueError for a kind that the vocabulary lacks.
    """
    if kind not in MAKERS:
        raise ValueError(f"{kind!r} is no kind of thing; there are {', '.join(MAKERS)}")
    return tuple(normalise(MAKERS[kind](Random(variant))))
