"""The combinations that no training scene shows, so that what a model makes of them is composed and not remembered."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path

from modules.pocket.scenes.colours import NEON_COLOURS, list_contrasting
from modules.pocket.scenes.scene import Scene
from modules.pocket.scenes.vocabulary import COLOURS, FIGURES, KINDS, STYLES

HELDOUT_FILE = Path(__file__).resolve().parents[3] / "configs" / "pocket-heldout-scenes.json"

Combination = tuple[str, str, str | int]
"""Kind, colour, and the third word: a ground's colour, a place, a count or a style."""

SIDES = ("left", "right", "top", "bottom")
"""The places in the list "place"."""

LENGTHS = {"ground": 216, "place": 208, "count": 208, "style": 208}
"""How many combinations each list has."""


@lru_cache(maxsize=1)
def read_held_out() -> dict[str, frozenset[Combination]]:
    """The four lists of `configs/pocket-heldout-scenes.json`. Raises FileNotFoundError where the file is missing."""
    content = json.loads(HELDOUT_FILE.read_text("utf-8"))
    return {name: frozenset((kind, colour, third) for kind, colour, third in content[name]) for name in LENGTHS}


def list_held_out(name: str) -> list[Combination]:
    """One of the lists "ground", "place", "count" and "style", in an order that never changes."""
    if name not in LENGTHS:
        raise ValueError(f"{name!r} is no list of held-out combinations; there are {', '.join(LENGTHS)}")
    return sorted(read_held_out()[name], key=str)


def list_combinations(scene: Scene) -> Iterator[tuple[str, Combination]]:
    """What a scene shows, with the list that each combination would stand in. Each of a pair counts as one thing."""
    count = 1 if scene.relation else scene.count
    for thing in scene.things if scene.relation else scene.things[:1]:
        yield "style", (thing.kind, thing.colour, scene.style)
        yield "count", (thing.kind, thing.colour, count)
        if scene.ground.kind == "plain":
            yield "ground", (thing.kind, thing.colour, scene.ground.colours[0])
        if scene.count == 1:
            yield "place", (thing.kind, thing.colour, scene.place)


def is_held_out(scene: Scene) -> bool:
    """Whether any thing of the scene makes a combination that training must not see."""
    lists = read_held_out()
    return any(combination in lists[name] for name, combination in list_combinations(scene))


def list_candidates(name: str) -> list[Combination]:
    """Every combination that a list could hold out: what can be drawn and seen."""
    if name == "ground":
        return [
            (kind, colour, ground)
            for kind, ground in product(FIGURES, COLOURS)
            for colour in list_contrasting((COLOURS[ground],))
        ]
    if name == "place":
        return list(product(KINDS, COLOURS, SIDES))
    if name == "count":
        return list(product(KINDS, COLOURS, (1, 2, 3)))
    return [c for c in product(KINDS, COLOURS, STYLES) if c[2] != "neon" or c[1] in NEON_COLOURS]


def choose_held_out(name: str) -> list[Combination]:
    """The rule by which the file was written: a fixed shuffle, spread evenly over the words of each position.

    A kind in one colour loses at most one place, one count and one style, and a figure in one colour at most three
    grounds, so each of them is still seen in most of its combinations.
    """
    candidates = list_candidates(name)
    candidates.sort(key=lambda c: hashlib.sha256(f"{name}/{c}".encode()).digest())
    length = LENGTHS[name]
    words = [len({c[position] for c in candidates}) for position in range(3)]
    most = [
        -(-length * 13 // (10 * count)) if position else -(-length // count) for position, count in enumerate(words)
    ]
    together = 3 if name == "ground" else 1
    used: Counter[object] = Counter()
    chosen: list[Combination] = []
    for kind, colour, third in candidates:
        keys = [(0, kind), (1, colour), (2, third)]
        if len(chosen) == length or used[kind, colour] >= together:
            continue
        if all(used[key] < most[key[0]] for key in keys):
            used.update(keys)
            used[kind, colour] += 1
            chosen.append((kind, colour, third))
    return sorted(chosen, key=str)
