"""Smooth textures that look the same at every side: paper, pigment and the strokes of a pencil."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image


@lru_cache(maxsize=64)
def make_clouds(side: int, cells: int, seed: int) -> Image.Image:
    """Smooth noise ("L", whole range) of about `cells` blots along a side."""
    values = np.random.default_rng(seed).random((cells + 1, cells + 1), np.float32)
    field = np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC))
    low, high = float(field.min()), float(field.max())
    return Image.fromarray(((field - low) / (high - low) * 255).astype(np.uint8))


@lru_cache(maxsize=32)
def make_pigment(side: int, seed: int) -> Image.Image:
    """Noise of three sizes ("L"), as of paint that has dried."""
    layers = [np.asarray(make_clouds(side, cells, seed * 7 + cells), np.float32) for cells in (4, 9, 20)]
    field = layers[0] * 0.5 + layers[1] * 0.32 + layers[2] * 0.18
    low, high = float(field.min()), float(field.max())
    return Image.fromarray(((field - low) / (high - low) * 255).astype(np.uint8))


@lru_cache(maxsize=32)
def make_hatching(side: int, seed: int, degrees: float, lines: float) -> Image.Image:
    """Parallel pencil strokes ("L", 255 where the pencil was): `lines` of them along a side, a little uneven."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side + 0.5 / side
    turn = np.radians(degrees)
    bend = np.asarray(make_clouds(side, 7, seed + 11), np.float32) / 255
    press = np.asarray(make_clouds(side, 12, seed + 12), np.float32) / 255
    across = (x * np.sin(turn) + y * np.cos(turn)) * lines + bend * 0.6
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * across)
    field = np.clip(wave * 1.1 - 0.05, 0, 1) * (0.72 + 0.28 * press)
    return Image.fromarray((field * 255).astype(np.uint8))


@lru_cache(maxsize=256)
def make_curve(low: int, high: int) -> tuple[int, ...]:
    """A table that maps 0…255 evenly onto low…high, cut at 255, for `Image.point`."""
    return tuple(min(255, round(low + (high - low) * value / 255)) for value in range(256))
