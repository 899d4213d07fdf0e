"""Which of the encoded scenes a batch of diffusion training shows, and how often.

A kind is learned best where nothing distracts from it: flat pictures before plain grounds, and single plane figures,
are seen more often than the world has them, those with many corners, which are learned last, most of all; small things,
of which a few latent cells are all there is, less often. Everything that the world has is still seen.

Most of a picture is ground, which is learned at once and goes on costing time. A close-up is the part of a picture
around its only thing: the thing as large as ever, at a quarter of the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
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
OBJECT = 3.0
"""How much more often than a plane figure a close-up shows an object: these have more to them than an outline."""
CORNERED, CORNERS = ("star", "cross"), 2.0
"""Figures with many corners, and how much more often than another figure one of them is seen."""
SHIFT = 0.12
"""How far from the middle of a close-up its thing may be, as a share of the close-up's side."""


def weigh(scene: Scene) -> float:
    """How often a scene is seen in comparison with others."""
    weight = FLAT if scene.style == STYLES[0] else 1.0
    weight *= PLAIN if scene.ground.kind == GROUNDS[0] else 1.0
    weight *= SINGLE if len(scene.things) == 1 else 1.0
    weight *= FIGURE if scene.things[0].kind in FIGURES else 1.0
    weight *= CORNERS if scene.things[0].kind in CORNERED else 1.0
    return weight * (SMALL if scene.size == "small" else 1.0)


def weigh_close(scene: Scene) -> float:
    """How often a scene is seen in close-ups in comparison with others; 0 where it does not fit into one."""
    if len(scene.things) > 1 or scene.size == "large":
        return 0.0
    weight = FLAT if scene.style == STYLES[0] else 1.0
    weight *= PLAIN if scene.ground.kind == GROUNDS[0] else 1.0
    kind = scene.things[0].kind
    return weight * (CORNERS if kind in CORNERED else 1.0 if kind in FIGURES else OBJECT)


def draw_rows(lot: np.random.Generator, scenes: int, size: int, *, close: bool = False) -> NDArray[np.int64]:
    """`size` numbers of the first `scenes` training scenes, each as often as `weigh` says; with `close`, `weigh_close`.

    Of few scenes there may be none that fits into a close-up; then any.
    """
    survey = _look_through(-(-scenes // 4096) * 4096)
    weights = (survey.close if close else survey.weights)[:scenes]
    reached = np.cumsum(weights if weights.any() else survey.weights[:scenes])
    return np.searchsorted(reached, lot.random(size) * reached[-1], side="right").clip(max=scenes - 1)


def draw_windows(
    lot: np.random.Generator, rows: NDArray[np.int64], scenes: int, cells: int, window: int
) -> NDArray[np.int64]:
    """Where close-ups of `window` cells begin in latents of `cells` cells a side: (n, 2), rows and columns.

    The thing is about in the middle: up to SHIFT of the window away from it, and nearer to an edge where the picture
    ends.
    """
    centres = _look_through(-(-scenes // 4096) * 4096).centres[rows]
    away = lot.uniform(-SHIFT, SHIFT, centres.shape) * window
    return np.rint(centres * cells + away - window / 2).clip(0, cells - window).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Survey:
    """What is known of the first scenes, in their order."""

    weights: NDArray[np.float64]
    close: NDArray[np.float64]
    centres: NDArray[np.float64]
    """Of the first thing, shares of the side from the top and from the left."""


@lru_cache(maxsize=4)
def _look_through(scenes: int) -> _Survey:
    drawn = [draw_scene(SEED, index) for index in range(scenes)]
    return _Survey(
        np.array([weigh(scene) for scene in drawn]),
        np.array([weigh_close(scene) for scene in drawn]),
        np.array([(scene.things[0].y, scene.things[0].x) for scene in drawn]),
    )
