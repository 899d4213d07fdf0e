"""Stage "scenes": renders the training pictures of the autoencoder into a flat file, mapped into memory later.

Later stages render what they need themselves: a scene follows from SEED and its number, and is drawn at any side.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.render import render
from modules.training.journal import Budget
from modules.training.sheets import lay_sheet

SIDE = 256
"""Native width and height of the family, in pixels."""

SEED = 1
"""The data set that the shipped models are trained on."""


def picture_file(folder: Path) -> Path:
    """Where the pictures lie: uint8 of shape (count, SIDE, SIDE, 3) as .npy."""
    return folder / "pictures.npy"


def make_scenes(folder: Path, count: int, budget: Budget) -> bool:
    """Renders `count` pictures of the data set SEED into `folder`; False where the budget ended first (start again).

    Scenes are not stored: they follow from SEED and the index. A finished file of the right length is left alone,
    unless the world has changed since it was drawn: later stages know by the index what a picture shows.
    The first sixty are also laid out on `folder`/scenes.png.
    """
    target = picture_file(folder)
    if not render_into(target, count, SIDE, budget):
        return False
    lay_sheet(np.load(target, mmap_mode="r")[:60]).save(folder / "scenes.png")
    return True


def render_into(target: Path, count: int, side: int, budget: Budget) -> bool:
    """Renders the first `count` scenes of the data set SEED at `side` pixels into `target`, an .npy file of shape
    (count, side, side, 3); False where the budget ended first, and then `target` is as it was.
    A file whose first picture is another one is drawn anew.
    """
    if target.exists():
        there = np.load(target, mmap_mode="r")
        if len(there) >= count and np.array_equal(there[0], render(draw_scene(SEED, 0), side)):
            return True
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".part")
    out = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
    for index in range(count):
        if budget.over:
            return False
        out[index] = render(draw_scene(SEED, index), side)
    out.flush()
    os.replace(beside, target)
    return True


def open_pictures(folder: Path) -> NDArray[np.uint8]:
    """The pictures of the "scenes" stage, mapped. Raises FileNotFoundError where that stage has not been run."""
    pictures: NDArray[np.uint8] = np.load(picture_file(folder), mmap_mode="r")
    return pictures
