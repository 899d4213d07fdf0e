"""Stand-ins for models: they draw what their rule says with the renderer, so that properties have known answers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from modules.pocket.evaluation.drawing import Order
from modules.pocket.scenes.colours import list_contrasting
from modules.pocket.scenes.lot import plain_scene
from modules.pocket.scenes.render import render
from modules.pocket.scenes.vocabulary import COLOURS, KINDS
from modules.pocket.scenes.words import PLACE_WORDS

NUMBERS = {"two": 2, "three": 3}


class Painter:
    """A `Draw` that obeys: it reads plain prompts word by word; what a prompt leaves open follows from the seed."""

    size = 96

    def __init__(self):
        self.orders: list[Order] = []

    def __call__(self, order):
        self.orders.append(order)
        rows = zip(order.prompts, order.seeds, strict=True)
        return np.stack([self.paint(prompt, seed, order, place) for place, (prompt, seed) in enumerate(rows)])

    def paint(self, prompt, seed, order, number):
        words = self.read(prompt, seed)
        return render(self.scene(seed, **words), order.size or self.size)

    def read(self, prompt, seed):
        ground = re.search(r"on an? (\w+) background", prompt)
        ground = ground[1] if ground else ("white", "blue", "yellow")[seed % 3]
        words = re.findall(r"\w+", prompt.split(" on a")[0])
        colours = [word for word in words if word in COLOURS]
        kind = next(
            (kind for kind in KINDS if any(word in (kind, f"{kind}s", f"{kind}es") for word in words)), "circle"
        )
        place = next((name for name, phrases in PLACE_WORDS.items() if f" {phrases[0]} " in f"{prompt} "), "middle")
        return {
            "kind": kind,
            "colour": colours[0] if colours else list_contrasting((COLOURS[ground],))[seed % 5],
            "ground_colour": ground,
            "place": place,
            "count": next((NUMBERS[word] for word in words if word in NUMBERS), 1),
        }

    def scene(self, seed, **words):
        return plain_scene(seed, **words)


@pytest.fixture
def painter():
    return Painter()
