"""Which of the encoded scenes a batch of diffusion training shows, and how often.

A kind is learned best where nothing distracts from it: flat pictures before plain grounds, and single plane figures,
are seen more often than the world has them, those with many corners, which are learned last, most of all; small things,
of which a few latent cells are all there is, less often. Everything that the world has is still seen.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.scene import Scene
from modules.pocket.scenes.vocabulary import FIGURES, GROUNDS, STYLES
from modules.pocket.stages.pictures import SEED

FLAT, PLAIN, SINGLE, FIGURE, SMALL = 4.0, 4.0, 2.0, 3.0, 0.6
"""How much more often than another scene one is seen that is flat, before a plain ground, of one thing, of a plane
figure, of a small thing."""
CORNERED, CORNERS = ("star", "cross"), 2.0
"""Figures with many corners, and how much more often than another figure one of them is seen."""


def weigh(scene: Scene) -> float:
    """How often a scene is seen in comparison with others."""
    weight = FLAT if scene.style == STYLES[0] else 1.0
    weight *= PLAIN if scene.ground.kind == GROUNDS[0] else 1.0
    weight *= SINGLE if len(scene.things) == 1 else 1.0
    weight *= FIGURE if scene.things[0].kind in FIGURES else 1.0
    weight *= CORNERS if scene.things[0].kind in CORNERED else 1.0
    return weight * (SMALL if scene.size == "small" else 1.0)


def draw_rows(lot: np.random.Generator, scenes: int, size: int) -> NDArray[np.int64]:
    """`size` numbers of the first `scenes` training scenes, each as often as `weigh` says."""
    reached = _reached(-(-scenes // 4096) * 4096)[:scenes]
    return np.searchsorted(reached, lot.random(size) * reached[-1], side="right").clip(max=scenes - 1)


@lru_cache(maxsize=4)
def _reached(scenes: int) -> NDArray[np.float64]:
    """Running sums of the weights of the first scenes."""
    return np.cumsum([weigh(draw_scene(SEED, index)) for index in range(scenes)])
