"""The ten backgrounds, drawn at any side; curves and gradients are computed for each pixel, so nothing is jagged."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from numpy.typing import NDArray

from modules.pocket.scenes.colours import Rgb, mix
from modules.pocket.scenes.scene import Ground
from modules.pocket.scenes.vocabulary import COLOURS

Pixels = NDArray[np.float32]
"""(side, side, 3), 0 to 255."""

PALETTES: dict[str, tuple[Rgb, ...]] = {
    "sky": ((84, 160, 232), (186, 222, 246)),
    "sunset": ((92, 62, 132), (240, 112, 84), (252, 190, 104)),
    "night": ((14, 18, 52), (44, 52, 104)),
    "sea": ((206, 232, 244), (64, 164, 206), (20, 78, 146), (226, 204, 154)),
    "meadow": ((176, 218, 244), (122, 186, 78), (78, 150, 60)),
    "desert": ((248, 222, 176), (230, 184, 112), (206, 150, 84)),
    "snow": ((176, 198, 222), (242, 246, 250), (216, 226, 240)),
    "checkerboard": ((240, 236, 226), (176, 180, 190)),
}
"""The colours that cover most of each ground that has colours of its own, from the top down."""


def list_colours(ground: Ground) -> tuple[Rgb, ...]:
    """What a thing before this ground has to stand out from."""
    if ground.kind == "plain":
        return (COLOURS[ground.colours[0]],)
    if ground.kind == "gradient":
        upper, lower = (COLOURS[name] for name in ground.colours)
        return upper, mix(upper, lower, 0.5), lower
    if ground.kind == "sea":
        # The strips of air and of sand are too narrow to hide a thing.
        _, shallow, deep, _ = PALETTES["sea"]
        return shallow, mix(shallow, deep, 0.5), deep
    return PALETTES[ground.kind]


def draw_ground(ground: Ground, side: int) -> NDArray[np.uint8]:
    """The ground alone, (side, side, 3) RGB. Raises ValueError for a kind that the vocabulary lacks."""
    if ground.kind == "plain":
        picture = np.empty((side, side, 3), np.uint8)
        picture[:] = COLOURS[ground.colours[0]]
        return picture
    if ground.kind == "gradient":
        return _round(_blend_down(side, [COLOURS[name] for name in ground.colours]))
    if ground.kind not in PAINTERS:
        raise ValueError(f"{ground.kind!r} is no ground; there are plain, gradient, {', '.join(PAINTERS)}")
    return _round(PAINTERS[ground.kind](side, Random(ground.variant)))


def _round(picture: Pixels) -> NDArray[np.uint8]:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _middles(side: int) -> NDArray[np.float32]:
    return ((np.arange(side) + 0.5) / side).astype(np.float32)


def _blend_down(side: int, colours: list[Rgb], stops: list[float] | None = None) -> Pixels:
    """A gradient from the top down through colours that lie at the given heights."""
    heights = stops or list(np.linspace(0, 1, len(colours)))
    table = np.asarray(colours, np.float32)
    columns = [np.interp(_middles(side), heights, table[:, channel]) for channel in range(3)]
    rows = np.stack(columns, axis=1).astype(np.float32)
    return np.repeat(rows[:, None, :], side, axis=1)


def _paint_below(picture: Pixels, line: NDArray[np.float32], colour: Rgb, strength: float = 1.0) -> None:
    """Paint everything below a curve, given as a height (share of the side) for every column."""
    side = len(picture)
    first = max(0, int(float(line.min()) * side) - 1)
    cover = np.clip((_middles(side)[first:, None] - line[None, :]) * side + 0.5, 0, 1)[..., None] * np.float32(strength)
    picture[first:] += (np.asarray(colour, np.float32) - picture[first:]) * cover


def _paint_discs(picture: Pixels, discs: list[tuple[float, float, float]], colour: Rgb, strength: float = 1.0) -> None:
    """Paint discs (x, y, radius), each no larger than its own box."""
    side = len(picture)
    for x, y, radius in discs:
        left, top = max(0, int((x - radius) * side) - 1), max(0, int((y - radius) * side) - 1)
        right, bottom = int((x + radius) * side) + 2, int((y + radius) * side) + 2
        part = picture[top:bottom, left:right]
        down = (np.arange(top, top + part.shape[0]) + 0.5)[:, None] - y * side
        across = (np.arange(left, left + part.shape[1]) + 0.5)[None, :] - x * side
        cover = np.clip(radius * side - np.hypot(down, across) + 0.5, 0, 1)[..., None] * strength
        part += (np.asarray(colour, np.float32) - part) * cover.astype(np.float32)


def _wave(side: int, lot: Random, height: float, swing: float, waves: float) -> NDArray[np.float32]:
    """A gently rolling line around a height."""
    x = _middles(side)
    line = np.sin(2 * np.pi * (x * waves + lot.random())) + 0.4 * np.sin(2 * np.pi * (x * waves * 2.1 + lot.random()))
    return np.asarray(height + swing * line / 1.4, np.float32)


def _draw_sky(side: int, lot: Random) -> Pixels:
    upper, lower = PALETTES["sky"]
    picture = _blend_down(side, [upper, lower])
    for _ in range(lot.choice((2, 3, 3, 4))):
        x, y, size = (
            lot.random(),
            lot.choice((lot.uniform(0.06, 0.26), lot.uniform(0.72, 0.94))),
            lot.uniform(0.035, 0.06),
        )
        puffs = [
            (x - 1.5 * size, y + 0.3 * size, 0.7 * size),
            (x, y, size),
            (x + 1.4 * size, y + 0.25 * size, 0.75 * size),
        ]
        puffs += [(x - 0.7 * size, y + 0.4 * size, 0.6 * size), (x + 0.7 * size, y + 0.4 * size, 0.6 * size)]
        _paint_discs(picture, puffs, (244, 249, 253))
    return picture


def _draw_sunset(side: int, lot: Random) -> Pixels:
    horizon = lot.uniform(0.76, 0.86)
    colours = [PALETTES["sunset"][0], (184, 84, 116), PALETTES["sunset"][1], PALETTES["sunset"][2]]
    picture = _blend_down(side, colours, [0, horizon * 0.42, horizon * 0.72, horizon])
    x, size = lot.uniform(0.15, 0.85), lot.uniform(0.08, 0.11)
    _paint_discs(picture, [(x, horizon, size * 1.5)], (255, 214, 130), 0.5)
    _paint_discs(picture, [(x, horizon, size)], (255, 238, 176))
    _paint_below(picture, _wave(side, lot, horizon, 0.018, 1.3), (98, 50, 86))
    _paint_below(picture, _wave(side, lot, horizon + 0.07, 0.02, 0.9), (66, 36, 72))
    return picture


def _draw_night(side: int, lot: Random) -> Pixels:
    picture = _blend_down(side, list(PALETTES["night"]))
    for colour, count, size in (((226, 230, 250), 14, 0.007), ((255, 240, 190), 7, 0.011)):
        stars = [(lot.random(), lot.uniform(0.02, 0.86), size * lot.uniform(0.8, 1.2)) for _ in range(count)]
        _paint_discs(picture, stars, colour)
    if lot.random() < 0.6:
        _paint_below(picture, _wave(side, lot, 0.93, 0.025, 1.1), (8, 10, 30))
    return picture


def _draw_sea(side: int, lot: Random) -> Pixels:
    air, shallow, deep, sand = PALETTES["sea"]
    surface, floor = lot.uniform(0.12, 0.2), lot.uniform(0.86, 0.91)
    picture = _blend_down(side, [shallow, shallow, deep, deep], [0, surface, floor, 1])
    crest = _wave(side, lot, surface, 0.016, lot.choice((3, 4, 5)))
    above = np.clip((crest[None, :] - _middles(side)[:, None]) * side + 0.5, 0, 1)[..., None]
    picture += (np.asarray(air, np.float32) - picture) * above.astype(np.float32)
    foam = above * np.clip((_middles(side)[:, None] - crest[None, :] + 0.022) * side + 0.5, 0, 1)[..., None]
    picture += (np.asarray((246, 251, 253), np.float32) - picture) * foam.astype(np.float32)
    _paint_below(picture, _wave(side, lot, floor, 0.014, 1.4), sand)
    for _ in range(lot.choice((2, 3))):
        x, y = lot.random(), lot.uniform(0.42, 0.84)
        bubbles = [(x, y, 0.014), (x + 0.02, y - 0.05, 0.01), (x - 0.008, y - 0.09, 0.0075)]
        _paint_discs(picture, bubbles, (196, 232, 246), 0.75)
    return picture


def _draw_meadow(side: int, lot: Random) -> Pixels:
    sky, grass, shade = PALETTES["meadow"]
    horizon = lot.uniform(0.4, 0.56)
    picture = _blend_down(side, [(146, 202, 240), sky], [0, horizon])
    _paint_below(picture, _wave(side, lot, horizon, 0.03, lot.uniform(0.6, 1.2)), (146, 200, 96))
    _paint_below(picture, _wave(side, lot, horizon + 0.13, 0.035, lot.uniform(0.5, 1.0)), grass)
    _paint_below(picture, _wave(side, lot, horizon + 0.33, 0.03, lot.uniform(0.5, 1.0)), shade)
    for colour in ((252, 250, 240), (252, 222, 90)):
        blossoms = [(lot.random(), lot.uniform(horizon + 0.24, 0.97), lot.uniform(0.008, 0.013)) for _ in range(6)]
        _paint_discs(picture, blossoms, colour)
    return picture


def _draw_desert(side: int, lot: Random) -> Pixels:
    sky, sand, shade = PALETTES["desert"]
    horizon = lot.uniform(0.42, 0.56)
    picture = _blend_down(side, [(252, 236, 206), sky], [0, horizon])
    for step, (offset, colour) in enumerate(
        ((0.0, (238, 200, 136)), (0.14, sand), (0.3, (220, 166, 96)), (0.44, shade))
    ):
        _paint_below(picture, _wave(side, lot, horizon + offset, 0.04 - 0.004 * step, lot.uniform(0.6, 1.1)), colour)
    return picture


def _draw_snow(side: int, lot: Random) -> Pixels:
    sky, snow, shade = PALETTES["snow"]
    horizon = lot.uniform(0.5, 0.64)
    picture = _blend_down(side, [(150, 178, 210), sky, (206, 220, 236)], [0, horizon * 0.7, horizon])
    _paint_below(picture, _wave(side, lot, horizon, 0.03, lot.uniform(0.6, 1.1)), shade)
    _paint_below(picture, _wave(side, lot, horizon + 0.12, 0.035, lot.uniform(0.5, 0.9)), snow)
    flakes = [(lot.random(), lot.uniform(0.02, horizon), lot.uniform(0.007, 0.013)) for _ in range(16)]
    _paint_discs(picture, flakes, (252, 253, 255))
    return picture


def _draw_checkerboard(side: int, lot: Random) -> Pixels:
    light, dark = PALETTES["checkerboard"]
    cells = lot.choice((4, 5, 6, 8))
    # A product of clipped sines has one soft pixel at every edge and hard fields between.
    first = lot.randrange(2)
    wave = np.sin(np.pi * (_middles(side) * cells + first)) * side / (np.pi * cells) * 2
    sharp = np.clip(wave, -1, 1)
    other = np.clip(np.sin(np.pi * _middles(side) * cells) * side / (np.pi * cells) * 2, -1, 1)
    share = (0.5 + 0.5 * other[:, None] * sharp[None, :])[..., None].astype(np.float32)
    return np.asarray(light, np.float32) * share + np.asarray(dark, np.float32) * (1 - share)


PAINTERS: dict[str, Callable[[int, Random], Pixels]] = {
    "sky": _draw_sky,
    "sunset": _draw_sunset,
    "night": _draw_night,
    "sea": _draw_sea,
    "meadow": _draw_meadow,
    "desert": _draw_desert,
    "snow": _draw_snow,
    "checkerboard": _draw_checkerboard,
}
