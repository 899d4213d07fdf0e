"""Scenes by lot: what the models are trained on, and scenes made to order for tests and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from modules.pocket.scenes.colours import NEON_COLOURS, dim, list_contrasting, measure_distance
from modules.pocket.scenes.grounds import list_colours
from modules.pocket.scenes.heldout import is_held_out
from modules.pocket.scenes.layout import CORES, Spot, find_group, find_pair, find_place
from modules.pocket.scenes.scene import Ground, Scene, Thing
from modules.pocket.scenes.vocabulary import COLOURS, FIGURES, GROUNDS, OBJECTS, PLACES, RELATIONS, STYLES

Word = TypeVar("Word")

PLAIN_SHARE = 0.55
FLAT_SHARE = 0.5
SINGLE_SHARE, GROUP_SHARE = 0.55, 0.2
PLACED_SHARE = 0.4
VARIANTS = 1 << 16
NEON_GROUNDS = ("black", "black", "black", "blue", "purple", "green", "red", "brown")
"""Plain grounds in neon, where every ground is nearly dark."""


def draw_scene(seed: int, index: int) -> Scene:
    """Scene number `index` of the endless series `seed`: always the same one, and never a held-out combination."""
    lot = np.random.default_rng([seed, index])
    form = float(lot.random())
    while True:
        if form < SINGLE_SHARE:
            scene = _draw_single(lot)
        elif form < SINGLE_SHARE + GROUP_SHARE:
            scene = _draw_group(lot)
        else:
            scene = _draw_pair(lot)
        if scene is not None and not is_held_out(scene):
            return scene


def list_colours_before(ground: Ground, style: str) -> list[str]:
    """The colours in which a thing stands out from a ground that is drawn in a style."""
    grounds = list_colours(ground)
    if style != "neon":
        return list(list_contrasting(grounds))
    return [name for name in list_contrasting(tuple(dim(colour) for colour in grounds)) if name in NEON_COLOURS]


def plain_scene(
    seed: int,
    kind: str,
    colour: str,
    ground_colour: str,
    place: str = "middle",
    count: int = 1,
    style: str = "flat",
    size: str = "medium",
) -> Scene:
    """A scene to order before a plain ground, held out or not; `seed` varies what the words leave open.

    Raises ValueError for a word that the vocabulary lacks, or a place for more than one thing.
    """
    allowed = {"kind": (kind, (*FIGURES, *OBJECTS)), "colour": (colour, tuple(COLOURS)), "style": (style, STYLES)}
    allowed |= {"ground": (ground_colour, tuple(COLOURS)), "place": (place, PLACES)}
    for name, (word, words) in allowed.items():
        if word not in words:
            raise ValueError(f"{word!r} is no {name}; there are {', '.join(words)}")
    if not 1 <= count <= 5 or (count > 1 and place != "middle"):
        raise ValueError(f"one to five things, and a place only for one: not {count} at {place!r}")
    lot = np.random.default_rng(seed)
    ground = Ground("plain", (ground_colour,), int(lot.integers(VARIANTS)))
    spots = [find_place(place, size, lot)] if count == 1 else find_group(count, lot)
    return Scene(_place_things(kind, colour, spots, lot), ground, style, size if count == 1 else "medium", place)


def _pick(words: Sequence[Word], lot: np.random.Generator) -> Word:
    return words[int(lot.integers(len(words)))]


def _pick_kind(lot: np.random.Generator) -> str:
    """A plane figure as often as an object."""
    return _pick(FIGURES if lot.random() < 0.5 else OBJECTS, lot)


def _draw_style(lot: np.random.Generator) -> str:
    return STYLES[0] if lot.random() < FLAT_SHARE else _pick(STYLES[1:], lot)


def _draw_ground(style: str, lot: np.random.Generator) -> Ground:
    kind = GROUNDS[0] if lot.random() < PLAIN_SHARE else _pick(GROUNDS[1:], lot)
    colours: tuple[str, ...] = ()
    if kind == "plain":
        colours = (_pick(NEON_GROUNDS if style == "neon" else tuple(COLOURS), lot),)
    elif kind == "gradient":
        upper, lower = (str(name) for name in lot.choice(list(COLOURS), 2, replace=False))
        # Two colours that hardly differ would be a plain ground, and two that differ most leave no colour for a thing.
        while not 0.14 < measure_distance(COLOURS[upper], COLOURS[lower]) < 0.5:
            upper, lower = (str(name) for name in lot.choice(list(COLOURS), 2, replace=False))
        colours = (upper, lower)
    return Ground(kind, colours, int(lot.integers(VARIANTS)))


def _place_things(kind: str, colour: str, spots: Sequence[Spot], lot: np.random.Generator) -> tuple[Thing, ...]:
    """Things of one kind at the spots, alike or each with a look of its own."""
    alike = lot.random() < 0.6
    variant = int(lot.integers(VARIANTS))
    things = []
    for x, y, radius in spots:
        look = variant if alike else int(lot.integers(VARIANTS))
        things.append(Thing(kind, colour, x, y, radius, float(lot.uniform(-9, 9)), look))
    return tuple(things)


def _draw_single(lot: np.random.Generator) -> Scene | None:
    style = _draw_style(lot)
    ground = _draw_ground(style, lot)
    colours = list_colours_before(ground, style)
    if not colours:
        return None
    place = _pick(PLACES, lot) if lot.random() < PLACED_SHARE else "middle"
    share = float(lot.random())
    if place == "middle":
        # Large things have no place but the middle, so that over all 20 % are small, 60 % medium and 20 % large.
        size = "small" if share < 0.144 else "medium" if share < 0.69 else "large"
    else:
        size = "small" if share < 0.3 else "medium"
    spot = find_place(place, size, lot)
    things = _place_things(_pick_kind(lot), _pick(colours, lot), [spot], lot)
    return Scene(things, ground, style, size, place)


def _draw_group(lot: np.random.Generator) -> Scene | None:
    style = _draw_style(lot)
    ground = _draw_ground(style, lot)
    colours = list_colours_before(ground, style)
    if not colours:
        return None
    spots = find_group(int(lot.integers(2, 6)), lot)
    things = _place_things(_pick_kind(lot), _pick(colours, lot), spots, lot)
    return Scene(things, ground, style, "medium", "middle")


def _draw_pair(lot: np.random.Generator) -> Scene | None:
    style = _draw_style(lot)
    ground = _draw_ground(style, lot)
    colours = list_colours_before(ground, style)
    relation = _pick(RELATIONS, lot)
    first = _pick_kind(lot)
    second = _pick(tuple(CORES), lot) if relation == "inside" else _pick_kind(lot)
    if not colours or first == second:
        return None
    colour = _pick(colours, lot)
    others = [name for name in list_contrasting((COLOURS[colour],)) if name in colours]
    if not others:
        return None
    spots = find_pair(relation, second, lot)
    one = _place_things(first, colour, spots[:1], lot)
    other = _place_things(second, _pick(others, lot), spots[1:], lot)
    return Scene((*one, *other), ground, style, "medium", "middle", relation)
