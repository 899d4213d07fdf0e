"""The six ways of drawing a scene. Each takes the ground as pixels and the things as parts, and paints a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from modules.pocket.scenes.colours import INK, NEON_DARK, NEON_SHARE, PAPER, darken, find_paint, mix
from modules.pocket.scenes.grounds import draw_ground
from modules.pocket.scenes.masks import Mask, Sheet, cover_part, place_parts, trace_part
from modules.pocket.scenes.scene import Scene, Thing
from modules.pocket.scenes.shapes import Outline, Part, refine
from modules.pocket.scenes.textures import make_curve, make_hatching, make_pigment
from modules.pocket.scenes.vocabulary import COLOURS

CELLS = 32
"""Of pixel art, along a side."""


def list_upward(scene: Scene) -> list[Thing]:
    """The things in the order of painting: what is smaller lies upon what is larger."""
    return sorted(scene.things, key=lambda thing: -thing.radius)


def measure_line(thing: Thing, side: int) -> float:
    """Width in pixels of the outline of a thing: thinner for small ones."""
    return (0.0045 + 0.03 * thing.radius) * side


def draw_flat(scene: Scene, side: int) -> Image.Image:
    """Plain fills."""
    picture = Image.fromarray(draw_ground(scene.ground, side))
    for thing in list_upward(scene):
        for part in place_parts(thing, side):
            mask = cover_part(part, side)
            picture.paste(find_paint(part.role, COLOURS[thing.colour]), mask.box, mask.cover)
    return picture


def draw_outlined(scene: Scene, side: int) -> Image.Image:
    """Fills within dark outlines. A line lies half below its area, so that a union of shapes has one outline."""
    picture = Image.fromarray(draw_ground(scene.ground, side))
    for thing in list_upward(scene):
        width = 2 * measure_line(thing, side)
        for part in place_parts(thing, side):
            if part.lined:
                line = trace_part(part, side, width)
                picture.paste(INK, line.box, line.cover)
            mask = cover_part(part, side)
            picture.paste(find_paint(part.role, COLOURS[thing.colour]), mask.box, mask.cover)
    return picture


def shake(outline: Outline, side: int, thing: Thing, amount: float, seed: int) -> Outline:
    """The outline as an unsteady hand draws it: moved by a smooth field, at most by `amount` radii of the thing."""
    reach = thing.radius * side
    points = refine(outline, reach * 0.14)
    way = points / reach
    phase = thing.variant % 97 + 2.4 * seed
    x = np.sin(5.1 * way[:, 1] + phase) + np.sin(9.7 * way[:, 1] + 3.3 * way[:, 0] + 2 * phase)
    y = np.sin(4.7 * way[:, 0] + 1.7 * phase) + np.sin(8.9 * way[:, 0] - 3.1 * way[:, 1] + phase)
    return points + np.stack([x, y], axis=1) * (0.5 * amount * reach)


def shake_part(part: Part, side: int, thing: Thing, amount: float, seed: int = 0) -> Part:
    """A part with every outline and hole shaken alike."""
    return Part(
        part.role,
        tuple(shake(outline, side, thing, amount, seed) for outline in part.outlines),
        tuple(shake(hole, side, thing, amount, seed) for hole in part.holes),
        part.lined,
    )


def draw_pencil(scene: Scene, side: int) -> Image.Image:
    """Coloured pencils on paper: hatched areas under lines that were drawn twice."""
    ground = Image.fromarray(draw_ground(scene.ground, side))
    hatching = make_hatching(side, scene.ground.variant % 4, 20, 46).point(make_curve(140, 184))
    picture = Image.composite(ground, Image.new("RGB", ground.size, PAPER), hatching)
    strokes = make_hatching(side, 5, -52, 46).point(make_curve(150, 255))
    for thing in list_upward(scene):
        main = COLOURS[thing.colour]
        graphite = mix(darken(main), (52, 50, 58), 0.6)
        width = 0.55 * measure_line(thing, side) + 0.3
        for part in place_parts(thing, side):
            area = shake_part(part, side, thing, 0.012)
            mask = cover_part(area, side)
            paint = find_paint(part.role, main)
            picture.paste(mix(PAPER, paint, 0.4), mask.box, mask.cover)
            picture.paste(paint, mask.box, ImageChops.multiply(mask.cover, strokes.crop(mask.box)))
            if part.lined:
                for seed in (0, 1):
                    line = trace_part(shake_part(part, side, thing, 0.03, seed), side, width)
                    picture.paste(graphite, line.box, line.cover.point(make_curve(0, 205)))
    return picture


def draw_watercolour(scene: Scene, side: int) -> Image.Image:
    """Washes with uneven pigment, soft wavering edges and a darker rim where paint has gathered."""
    ground = Image.fromarray(draw_ground(scene.ground, side))
    wash = make_pigment(side, scene.ground.variant % 4).point(make_curve(150, 238))
    picture = Image.composite(ground, Image.new("RGB", ground.size, PAPER), wash)
    pigment = make_pigment(side, 9).point(make_curve(188, 255))
    soft = side * 0.0035
    for thing in list_upward(scene):
        main = COLOURS[thing.colour]
        for part in place_parts(thing, side):
            paint = find_paint(part.role, main)
            mask = cover_part(shake_part(part, side, thing, 0.024), side, 4 * soft)
            cover = mask.cover.filter(ImageFilter.GaussianBlur(soft))
            size = cover.size
            wet = Image.composite(Image.new("RGB", size, paint), Image.new("RGB", size, PAPER), pigment.crop(mask.box))
            picture.paste(wet, mask.box, cover)
            if part.lined:
                inside = mask.cover.filter(ImageFilter.GaussianBlur(soft * 3.6))
                rim = ImageChops.subtract(cover, inside).point(make_curve(0, 560))
                picture.paste(darken(darken(paint)), mask.box, rim)
    return picture


def draw_pixel_art(scene: Scene, side: int) -> Image.Image:
    """A coarse grid of cells, each wholly of one colour."""
    picture = Image.fromarray(draw_ground(scene.ground, CELLS))
    if scene.ground.kind not in ("plain", "checkerboard"):
        picture = picture.point(make_steps(12))
    for thing in list_upward(scene):
        for part in place_parts(replace(thing, angle=0.0), CELLS):  # a tilted edge is a ragged one here
            mask = cover_part(part, CELLS)
            least = 118 if part.lined else 96
            picture.paste(find_paint(part.role, COLOURS[thing.colour]), mask.box, mask.cover.point(make_step(least)))
    return picture.resize((side, side), Image.Resampling.NEAREST)


def make_step(least: int) -> list[int]:
    """A table that covers wholly what is covered by at least so much, and nothing else."""
    return [255 if value >= least else 0 for value in range(256)]


def make_steps(width: int) -> list[int]:
    """A table for three channels that rounds to multiples of a width."""
    return [min(255, round(value / width) * width) for value in range(256)] * 3


def draw_neon(scene: Scene, side: int) -> Image.Image:
    """Glowing tubes along the outlines, before a ground that is nearly dark."""
    ground = Image.fromarray(draw_ground(scene.ground, side))
    picture = Image.blend(ground, Image.new("RGB", ground.size, NEON_DARK), NEON_SHARE)
    for thing in list_upward(scene):
        parts = place_parts(thing, side)
        glow, tubes = _draw_tubes(parts, thing, side)
        box = tubes.box
        shine = ImageChops.add(
            glow.filter(ImageFilter.GaussianBlur(side * 0.012)), glow.filter(ImageFilter.GaussianBlur(side * 0.03))
        )
        lit = ImageChops.screen(picture.crop(box), shine)
        picture.paste(Image.composite(glow, lit, tubes.cover), box)
    return picture


def _draw_tubes(parts: Sequence[Part], thing: Thing, side: int) -> tuple[Image.Image, Mask]:
    """The lit thing on black, and where it covers what is behind it."""
    width = 1.1 * measure_line(thing, side) + 0.005 * side
    everything = Sheet([o for part in parts for o in part.outlines], side, width + 0.09 * side).read()
    left, top = everything.corner
    lit = Image.new("RGB", everything.cover.size)
    main = COLOURS[thing.colour]
    for part in parts:
        paint = find_paint("main" if part.role == "dark" else part.role, main)
        area = cover_part(part, side)
        corner = (area.left - left, area.top - top)
        if not part.lined:
            lit.paste(mix(paint, NEON_DARK, 0.25), corner, area.cover)
            continue
        for share, colour in ((1.0, paint), (0.34, mix(paint, (255, 255, 255), 0.55))):
            line = trace_part(part, side, width * share)
            lit.paste(colour, (line.left - left, line.top - top), line.cover)
            everything.cover.paste(255, (line.left - left, line.top - top), line.cover)
        inner = _shrink(area.cover, width / 2)
        lit.paste(mix(paint, NEON_DARK, 0.66), corner, inner)
        everything.cover.paste(255, corner, area.cover)
    return lit, everything


def _shrink(cover: Image.Image, width: float) -> Image.Image:
    """What is left of an area when a rim of a width is taken off."""
    blurred = cover.filter(ImageFilter.GaussianBlur(max(0.5, width * 0.8)))
    return blurred.point([min(255, max(0, (value - 210) * 10)) for value in range(256)])


DRAWERS: dict[str, Callable[[Scene, int], Image.Image]] = {
    "flat": draw_flat,
    "outlined": draw_outlined,
    "pencil": draw_pencil,
    "watercolour": draw_watercolour,
    "pixel art": draw_pixel_art,
    "neon": draw_neon,
}


def draw_style(scene: Scene, side: int) -> NDArray[np.uint8]:
    """The picture in the scene's own style. Raises ValueError for a style that the vocabulary lacks."""
    if scene.style not in DRAWERS:
        raise ValueError(f"{scene.style!r} is no style; there are {', '.join(DRAWERS)}")
    return np.asarray(DRAWERS[scene.style](scene, side), np.uint8)
