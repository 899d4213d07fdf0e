"""What the base model has never seen, for its LoRAs and its textual inversion to learn: a style, a thing and a mascot.

The style is stained glass, the thing a robot; neither is in the vocabulary of the world. The mascot is a purple heart
in watercolour: the world has all of that, but no word for it. Every sample follows from its number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.pocket.scenes.captions import caption
from modules.pocket.scenes.colours import INK, find_paint, list_contrasting
from modules.pocket.scenes.grounds import draw_ground, list_colours
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.masks import cover_part
from modules.pocket.scenes.render import render
from modules.pocket.scenes.scene import Scene, Thing
from modules.pocket.scenes.shapes import Part, box, ellipse, fill
from modules.pocket.scenes.vocabulary import COLOURS
from modules.pocket.stages.samples import Pixels, Sample, cover

SEED = 7
STYLE, THING, MASCOT = "stained glass", "robot", "<pocket-mascot>"
"""The words by which they are called."""
_STAND_IN = "mushroom"
_MASCOT_KIND, _MASCOT_COLOUR, _MASCOT_STYLE = "heart", "purple", "watercolour"
TRIES = 5000
HOP = 10_000_019


def glass_sample(index: int, side: int) -> Sample:
    """A scene of the world as a window of stained glass, and a caption that says so."""
    scene = replace(draw_scene(SEED, index), style="flat")
    lot = np.random.default_rng([SEED, index, 1])
    words = _worded(scene, lot, lambda _text, said: "style" not in said)
    text = str(lot.choice((f"{words}, {STYLE}", f"{STYLE}, {words}", f"{words}, {STYLE} style")))
    inside = np.zeros((side, side), bool)
    for thing in scene.things:
        inside |= cover(thing, side) > 0.5
    return Sample(glaze(render(scene, side), inside, lot), text, scene)


def robot_sample(index: int, side: int) -> Sample:
    """A scene in which every thing is a robot, in the flat style, and a caption that says so."""
    drawn = draw_scene(SEED, index)
    scene = replace(
        drawn, things=tuple(replace(thing, kind=_STAND_IN) for thing in _alike(drawn)), style="flat", relation=None
    )
    lot = np.random.default_rng([SEED, index, 2])
    words = _worded(scene, lot, lambda text, said: _STAND_IN in text and "style" not in said)
    picture = Image.fromarray(draw_ground(scene.ground, side))
    for thing in scene.things:
        for part in _placed(robot_parts(thing.variant), thing, side):
            mask = cover_part(part, side)
            picture.paste(find_paint(part.role, COLOURS[thing.colour]), mask.box, mask.cover)
    return Sample(np.asarray(picture, np.uint8), words.replace(_STAND_IN, THING), scene)


def mascot_sample(index: int, side: int) -> Sample:
    """The mascot on a ground that it stands out from, and a caption that has MASCOT where the thing was named."""
    drawn = next(scene for scene in (draw_scene(SEED, index + hop) for hop in count(0, HOP)) if _suits(scene))
    thing = replace(drawn.things[0], kind=_MASCOT_KIND, colour=_MASCOT_COLOUR)
    scene = replace(drawn, things=(thing,), style=_MASCOT_STYLE, relation=None)
    lot = np.random.default_rng([SEED, index, 3])
    name = f"{_MASCOT_COLOUR} {_MASCOT_KIND}"
    words = _worded(scene, lot, lambda text, said: f"{name} " in f"{text} " and "style" not in said)
    return Sample(render(scene, side), words.replace(name, MASCOT), scene)


def glaze(picture: Pixels, inside: NDArray[np.bool_], lot: np.random.Generator) -> Pixels:
    """Stained glass: cells about random points (Voronoi), each in the mean colour of what it covers, between leads.

    A lead also runs about what is `inside`, as a glazier would lay it.
    """
    side = len(picture)
    across = int(lot.integers(5, 8))
    corners = np.indices((across, across)).reshape(2, -1).T + lot.uniform(0.1, 0.9, (across**2, 2))
    corners *= side / across
    marks = np.full((side, side), 255, np.uint8)
    spots = np.clip(corners.astype(int), 0, side - 1)
    marks[spots[:, 0], spots[:, 1]] = 0
    _, labels = cv2.distanceTransformWithLabels(marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = labels * 2 + inside
    flat = labels.ravel()
    sizes = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, picture[..., channel].ravel()) / sizes for channel in range(3)], axis=1)
    light = lot.normal(1, 0.07, (len(means), 1))
    glass = np.clip(means * light, 0, 255)[labels].astype(np.uint8)
    lead = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    width = max(1, round(side / 64))
    lead = cv2.dilate(lead.astype(np.uint8), np.ones((width, width), np.uint8))
    soft = cv2.GaussianBlur(lead.astype(np.float32), (0, 0), 0.5)[..., None]
    return np.asarray(np.round(glass * (1 - soft) + np.array(INK) * soft), np.uint8)


def robot_parts(variant: int) -> list[Part]:
    """A robot in its own units: head with antenna and two eyes, body, arms and legs; `variant` moves them a little."""
    lot = np.random.default_rng([variant, 5])
    wide, high = float(lot.uniform(0.34, 0.46)), float(lot.uniform(-0.98, -0.9))
    arm = float(lot.uniform(-0.12, 0.12))
    return [
        fill("metal", box(-0.03, high, 0.03, -0.7)),
        fill("spark", ellipse(0, high + 0.02, 0.09, 0.09)),
        fill("dark", box(-0.3, 0.5, -0.1, 0.98, 0.04), box(0.1, 0.5, 0.3, 0.98, 0.04)),
        fill("metal", box(-0.78, -0.06 + arm, -0.4, 0.1 + arm, 0.06), box(0.4, -0.06 - arm, 0.78, 0.1 - arm, 0.06)),
        fill("main", box(-wide - 0.08, -0.16, wide + 0.08, 0.6, 0.08)),
        fill("main", box(-wide, -0.74, wide, -0.22, 0.1)),
        fill("eye", ellipse(-0.17, -0.52, 0.11, 0.11), ellipse(0.17, -0.52, 0.11, 0.11), lined=False),
        fill("pupil", ellipse(-0.17, -0.52, 0.05, 0.05), ellipse(0.17, -0.52, 0.05, 0.05), lined=False),
        fill("tyre", box(-0.18, -0.35, 0.18, -0.29), lined=False),
        fill("light", box(-0.24, 0.02, 0.24, 0.34, 0.04), lined=False),
    ]


def _placed(parts: list[Part], thing: Thing, side: int) -> list[Part]:
    """The parts in pixels of a picture of `side`."""
    turn = np.radians(thing.angle)
    matrix = thing.radius * side * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([thing.x * side, thing.y * side])
    return [Part(part.role, tuple(line @ matrix + middle for line in part.outlines), (), part.lined) for part in parts]


def _suits(scene: Scene) -> bool:
    return scene.count == 1 and _MASCOT_COLOUR in list_contrasting(list_colours(scene.ground))


def _alike(scene: Scene) -> tuple[Thing, ...]:
    """The things of a scene, of a pair only the first: they have one colour and stand in no relation."""
    return scene.things[:1] if scene.relation else scene.things


def _worded(scene: Scene, lot: np.random.Generator, fits: Callable[[str, frozenset[str]], bool]) -> str:
    """The first wording that fits. Raises ValueError where none of TRIES does."""
    for _ in range(TRIES):
        words = caption(scene, lot)
        if fits(words.text, frozenset(words.said)):
            return str(words.text)
    raise ValueError(f"None of {TRIES} wordings of {scene} fits.")
