"""Things of the sky and of the land: sun, moon, cloud, tree, flower, mountain, mushroom and apple."""

from __future__ import annotations

from random import Random

import numpy as np

from modules.pocket.scenes.shapes import Outline, Part, arc, ellipse, fill, merge_discs, rotate, spline, stroke


def draw_sun(lot: Random) -> list[Part]:
    """A disc with rays: pointed, blunt or long and short by turns."""
    count = lot.choice((8, 10, 12))
    make = lot.choice(("points", "bars", "turns"))
    rays: list[Outline] = []
    for index in range(count):
        reach = 1.0 if make != "turns" or index % 2 == 0 else 0.84
        half = 0.9 / count
        if make == "bars":
            ray = stroke([(0.72, 0), (0.8, 0), (0.94, 0)], 0.13)
        else:
            ray = np.array([(0.55, -1.35 * half), (reach, 0), (0.55, 1.35 * half)])
        rays.append(rotate(ray, 360 * index / count))
    return [
        fill("main", *rays),
        fill("main", ellipse(0, 0, 0.6, 0.6, points=48)),
        fill("light", ellipse(-0.04, -0.05, 0.4, 0.4), lined=False),
    ]


def draw_moon(lot: Random) -> list[Part]:
    """A crescent, thin or fat, with or without craters."""
    width = lot.uniform(0.42, 0.62)
    # The inner edge is the arc through both horns; its circle lies to the right.
    horn = lot.uniform(58, 68)
    x, y = float(np.cos(np.radians(horn))), float(np.sin(np.radians(horn)))
    inner = spline(
        [(x, y), (-0.6 + width * 0.9, y * 0.62), (-1 + width * 1.35, 0), (-0.6 + width * 0.9, -y * 0.62), (x, -y)],
        8,
        False,
    )
    outline = np.concatenate([arc(0, 0, 1, -horn, -360 + horn, 56), inner[1:-1]])
    parts = [fill("main", outline)]
    if lot.random() < 0.6:
        spots = [ellipse(-0.78, -0.14, 0.09, 0.1), ellipse(-0.6, 0.42, 0.1, 0.09), ellipse(-0.56, -0.52, 0.06, 0.07)]
        parts.append(fill("dark", *spots, lined=False))
    return [Part(p.role, tuple(rotate(o, -16) for o in p.outlines), (), p.lined) for p in parts]


def draw_cloud(lot: Random) -> list[Part]:
    """Puffs upon a flat base."""
    left, right = lot.uniform(0.34, 0.42), lot.uniform(0.36, 0.44)
    top = lot.uniform(0.46, 0.54)
    discs = [
        (-0.62, 0.12, left),
        (0.62, 0.1, right),
        (-0.2 + lot.uniform(-0.08, 0.08), -0.16, top),
        (0.28, -0.08, lot.uniform(0.38, 0.46)),
        (0, 0.1, 0.42),
    ]
    # The puffs at both ends are round, so the base ends where they touch it.
    base = 0.44
    body = merge_discs(discs, base, 96)
    shade = merge_discs([(x, y - 0.0, r) for x, y, r in discs], base, 96)
    low = shade[shade[:, 1] > 0.24]
    parts = [fill("main", body)]
    if len(low) > 3:
        low = low[np.argsort(low[:, 0])]
        top_edge = spline([(low[-1, 0], 0.26), (0.3, 0.3), (0, 0.24), (-0.3, 0.31), (low[0, 0], 0.26)], 5, False)
        parts.append(fill("dark", np.concatenate([low, top_edge]), lined=False))
    parts.append(fill("light", ellipse(-0.28, -0.36, 0.2, 0.13, -20), lined=False))
    return parts


def draw_tree(lot: Random) -> list[Part]:
    """A tree with a round, an oval or a pointed crown."""
    make = lot.choice(("round", "oval", "pine"))
    if make == "pine":
        parts = [fill("wood", [(-0.12, 0.6), (0.12, 0.6), (0.14, 1), (-0.14, 1)])]
        for top, bottom, half in ((-0.3, 0.7, 0.74), (-0.68, 0.26, 0.58), (-1.0, -0.18, 0.42)):
            parts.append(fill("main", [(0, top), (half, bottom), (-half, bottom)]))
            low = bottom - (bottom - top) * 0.16
            parts.append(
                fill("dark", [(-half * 0.84, low), (half * 0.84, low), (half, bottom), (-half, bottom)], lined=False)
            )
        return parts
    trunk = fill("wood", spline([(-0.1, 0.1), (0.1, 0.1), (0.11, 0.7), (0.22, 1), (-0.22, 1), (-0.11, 0.7)], 4))
    if make == "oval":
        crown = fill("main", ellipse(0, -0.24, lot.uniform(0.52, 0.62), 0.76))
    else:
        count = lot.choice((6, 7, 8))
        puffs = [
            (0.42 * float(np.cos(6.283 * i / count)), 0.38 * float(np.sin(6.283 * i / count)), lot.uniform(0.3, 0.37))
            for i in range(count)
        ]
        crown = fill("main", merge_discs([*puffs, (0, 0, 0.5)]) * np.array([1.05, 1.0]) + np.array([0, -0.26]))
    return [
        trunk,
        crown,
        fill("dark", ellipse(0.22, 0.1, 0.22, 0.12, -25), ellipse(-0.2, 0.18, 0.14, 0.08, 15), lined=False),
        fill("light", ellipse(-0.22, -0.5, 0.2, 0.13, -30), lined=False),
    ]


def draw_flower(lot: Random) -> list[Part]:
    """A flower with five to eight petals, a stem and leaves."""
    count = lot.choice((5, 6, 7, 8))
    petal = ellipse(0.36, 0, 0.3, 0.26 if count < 7 else 0.2, points=28)
    turn = lot.uniform(0, 90)
    head = np.array([0, -0.36])
    petals = [rotate(petal, turn + 360 * i / count) + head for i in range(count)]
    bend = lot.uniform(-0.1, 0.1)
    stem = stroke(spline([(0, -0.3), (bend, 0.4), (0, 1.0)], 6, False), 0.1)
    leaf = spline([(0, 0.72), (0.22, 0.42), (0.5, 0.38), (0.38, 0.62)], 5)
    other = spline([(0, 0.86), (-0.2, 0.6), (-0.46, 0.56), (-0.34, 0.8)], 5)
    return [
        fill("leaf", stem),
        fill("leaf", leaf, *([other] if lot.random() < 0.7 else [])),
        *(fill("main", outline) for outline in petals),
        fill("pollen", ellipse(0, -0.36, 0.19, 0.19)),
    ]


def draw_mountain(lot: Random) -> list[Part]:
    """One peak or two, with snow on the highest."""
    tip = lot.uniform(-0.22, 0.05)
    parts: list[Part] = []
    if lot.random() < 0.65:
        parts.append(fill("dark", [(0.08, 0.66), (0.5, -0.22 + lot.uniform(-0.1, 0.1)), (1.0, 0.66)]))
    right = 0.72
    parts.append(fill("main", [(-0.98, 0.66), (-0.52, 0.06), (tip, -0.8), (0.34, -0.12), (right, 0.66)]))
    parts.append(
        fill(
            "dark",
            [(tip, -0.8), (0.34, -0.12), (right, 0.66), (0.3, 0.66), (0.1, 0.2), (tip + 0.16, -0.2)],
            lined=False,
        )
    )
    left = (tip - (tip + 0.52) * 0.42, -0.8 + 0.86 * 0.42)
    side = (tip + (0.34 - tip) * 0.55, -0.8 + 0.68 * 0.55)
    parts.append(fill("snow", [(tip, -0.8), side, (tip + 0.12, -0.52), (tip + 0.02, -0.36), (tip - 0.1, -0.54), left]))
    return parts


def draw_mushroom(lot: Random) -> list[Part]:
    """A capped mushroom, with light spots more often than not."""
    high, wide = lot.uniform(0.86, 1.0), lot.uniform(0.88, 1.0)
    foot = lot.uniform(0.24, 0.32)
    stem = spline([(-0.2, 0), (0.2, 0), (0.22, 0.5), (foot, 0.88), (0, 0.96), (-foot, 0.88), (-0.22, 0.5)], 5)
    cap = np.concatenate([arc(0, 0.12, wide, 180, 360, 30, high), arc(0, 0.12, wide, 0, 180, 20, 0.2)])
    parts = [fill("cream", stem), fill("main", cap)]
    parts.append(
        fill(
            "dark",
            np.concatenate([arc(0, 0.12, wide, 0, 180, 20, 0.2), arc(0, 0.12, wide, 180, 0, 20, 0.1)]),
            lined=False,
        )
    )
    if lot.random() < 0.75:
        spots = [(-0.5, -0.2, 0.13), (0.04, -0.46, 0.17), (0.5, -0.14, 0.14), (-0.12, -0.06, 0.1)]
        parts.append(fill("snow", *(ellipse(x, y * high, r, r * 0.9) for x, y, r in spots), lined=False))
    else:
        parts.append(fill("light", ellipse(-0.36, -0.36, 0.24, 0.14, -35), lined=False))
    return parts


def draw_apple(lot: Random) -> list[Part]:
    """An apple with its stalk and a leaf."""
    wide = lot.uniform(0.84, 0.94)
    body = spline(
        [
            (0, -0.42),
            (0.36, -0.58),
            (wide * 0.88, -0.34),
            (wide, 0.14),
            (0.62, 0.74),
            (0.26, 0.92),
            (0, 0.84),
            (-0.26, 0.92),
            (-0.62, 0.74),
            (-wide, 0.14),
            (-wide * 0.88, -0.34),
            (-0.36, -0.58),
        ],
        6,
    )
    parts = [fill("main", body)]
    parts.append(fill("dark", spline([(0.56, 0.74), (0.86, 0.1), (0.78, 0.1), (0.44, 0.72)], 6), lined=False))
    parts.append(fill("light", ellipse(-0.46, -0.16, 0.12, 0.24, 22), lined=False))
    parts.append(fill("wood", stroke(spline([(0, -0.42), (0.02, -0.66), (0.1, -0.9)], 5, False), 0.1)))
    if lot.random() < 0.8:
        parts.append(fill("leaf", spline([(0.06, -0.66), (0.24, -0.92), (0.58, -0.9), (0.36, -0.66)], 6)))
    return parts
