"""Things that people make: house, boat, car, balloon, cup, rocket and umbrella."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np

from modules.pocket.scenes.shapes import Part, arc, box, ellipse, fill, mirror, spline, stroke


def draw_house(lot: Random) -> list[Part]:
    """A house with a door and one or two windows, with or without a chimney."""
    eaves = lot.uniform(-0.26, -0.16)
    parts: list[Part] = []
    if lot.random() < 0.55:
        x = lot.choice((-0.5, 0.36))
        parts.append(fill("dark", box(x, -0.82, x + 0.2, -0.1)))
    parts.append(fill("main", box(-0.72, eaves, 0.72, 0.86)))
    over = lot.uniform(0.84, 0.94)
    parts.append(fill("dark", [(-over, eaves + 0.06), (0, -0.84), (over, eaves + 0.06)]))
    door = lot.choice((-0.46, -0.14, 0.2))
    parts.append(fill("wood", box(door, 0.34, door + 0.28, 0.86)))
    parts.append(fill("spark", ellipse(door + 0.22, 0.6, 0.03, 0.03), lined=False))
    spaces = [x for x in (-0.58, -0.14, 0.28) if abs(x + 0.15 - door - 0.14) > 0.34]
    for x in spaces[:2]:
        window = box(x, 0.18, x + 0.3, 0.48)
        bars = [box(x + 0.13, 0.18, x + 0.17, 0.48), box(x, 0.31, x + 0.3, 0.35)]
        parts += [fill("pane", window), fill("eye", *bars, lined=False)]
    if lot.random() < 0.5:
        parts.append(fill("pane", ellipse(0, eaves - 0.28, 0.13, 0.13)))
    return parts


def draw_boat(lot: Random) -> list[Part]:
    """A sailing boat with one sail or two."""
    two = lot.random() < 0.6
    mast = lot.uniform(-0.04, 0.08)
    hull = spline(
        [
            (-0.96, 0.4),
            (-0.4, 0.42),
            (0.4, 0.42),
            (0.98, 0.36),
            (0.8, 0.66),
            (0.52, 0.86),
            (0, 0.88),
            (-0.52, 0.86),
            (-0.78, 0.68),
        ],
        5,
    )
    parts = [
        fill("wood", box(mast - 0.04, -0.98, mast + 0.04, 0.44)),
        fill("main", hull),
        fill(
            "dark",
            spline([(-0.8, 0.66), (0, 0.72), (0.82, 0.62), (0.52, 0.86), (0, 0.88), (-0.52, 0.86)], 5),
            lined=False,
        ),
    ]
    belly = lot.uniform(0.0, 0.14)
    sail = np.concatenate(
        [
            spline([(mast + 0.07, -0.9), (mast + 0.42 + belly, -0.3), (mast + 0.74, 0.24)], 6, False),
            [(mast + 0.07, 0.28)],
        ]
    )
    parts.append(fill("main", sail))
    parts.append(
        fill(
            "light",
            [
                (mast + 0.07, -0.16),
                (mast + 0.46 + belly * 0.8, -0.16),
                (mast + 0.52 + belly * 0.6, -0.02),
                (mast + 0.07, -0.02),
            ],
            lined=False,
        )
    )
    if two:
        jib = np.concatenate(
            [spline([(mast - 0.08, -0.74), (mast - 0.36, -0.24), (mast - 0.66, 0.24)], 6, False), [(mast - 0.08, 0.26)]]
        )
        parts.append(fill("light", jib))
    elif lot.random() < 0.6:
        parts.append(fill("dark", [(mast, -0.98), (mast - 0.34, -0.86), (mast, -0.74)]))
    return parts if lot.random() < 0.5 else mirror(parts)


def draw_car(lot: Random) -> list[Part]:
    """A car seen from the side: low, round or a van."""
    make = lot.choice(("saloon", "round", "van"))
    roofs = {
        "saloon": [(-0.62, 0.02), (-0.4, -0.42), (0.3, -0.42), (0.58, 0.02)],
        "round": [(-0.66, 0.02), (-0.52, -0.36), (-0.1, -0.52), (0.36, -0.38), (0.62, 0.02)],
        "van": [(-0.92, 0.02), (-0.9, -0.46), (0.42, -0.46), (0.7, 0.02)],
    }
    panes = {
        "saloon": (
            [(-0.46, -0.02), (-0.32, -0.32), (-0.08, -0.32), (-0.08, -0.02)],
            [(0.02, -0.02), (0.02, -0.32), (0.24, -0.32), (0.42, -0.02)],
        ),
        "round": (
            [(-0.48, -0.02), (-0.38, -0.28), (-0.08, -0.38), (-0.08, -0.02)],
            [(0.02, -0.02), (0.02, -0.38), (0.28, -0.28), (0.42, -0.02)],
        ),
        "van": (
            [(-0.2, -0.02), (-0.2, -0.34), (0.06, -0.34), (0.06, -0.02)],
            [(0.16, -0.02), (0.16, -0.34), (0.36, -0.34), (0.54, -0.02)],
        ),
    }
    roof = roofs[make]
    top = (
        spline([(roof[0][0], 0.3), *roof, (roof[-1][0], 0.3)], 4)
        if make == "round"
        else np.array([*roof, (0.6, 0.3), (-0.6, 0.3)])
    )
    parts = [
        fill("main", top),
        fill("main", box(-0.98, -0.04, 0.98, 0.42, 0.18)),
        *(fill("pane", pane) for pane in panes[make]),
        fill("dark", box(-0.94, 0.28, 0.94, 0.42, 0.07), lined=False),
        fill("spark", ellipse(0.9, 0.1, 0.07, 0.09), lined=False),
        fill("flame", box(-0.97, 0.04, -0.88, 0.18, 0.03), lined=False),
    ]
    wheel = lot.uniform(0.2, 0.25)
    for x in (-0.54, 0.54):
        parts.append(fill("tyre", ellipse(x, 0.42, wheel, wheel)))
        parts.append(fill("metal", ellipse(x, 0.42, wheel * 0.48, wheel * 0.48), lined=False))
    return parts if lot.random() < 0.5 else mirror(parts)


def draw_balloon(lot: Random) -> list[Part]:
    """A toy balloon on a string."""
    wide = lot.uniform(0.54, 0.64)
    body = spline(
        [
            (0, -1),
            (wide * 0.74, -0.82),
            (wide, -0.34),
            (wide * 0.72, 0.1),
            (0.06, 0.38),
            (-0.06, 0.38),
            (-wide * 0.72, 0.1),
            (-wide, -0.34),
            (-wide * 0.74, -0.82),
        ],
        6,
    )
    sway = lot.choice((-1, 1)) * lot.uniform(0.05, 0.12)
    string = spline([(0, 0.42), (sway, 0.6), (-sway, 0.8), (0, 1.0)], 6, False)
    return [
        fill("metal", stroke(string, 0.035), lined=False),
        fill("dark", [(0, 0.34), (0.1, 0.48), (-0.1, 0.48)]),
        fill("main", body),
        fill(
            "dark",
            spline(
                [(wide * 0.6, 0.1), (wide * 0.9, -0.34), (wide * 0.74, -0.7), (wide * 0.72, -0.3), (wide * 0.46, 0.1)],
                5,
            ),
            lined=False,
        ),
        fill("light", ellipse(-wide * 0.42, -0.62, 0.1, 0.2, 24), lined=False),
    ]


def draw_cup(lot: Random) -> list[Part]:
    """A cup with a handle, sometimes with stripes, sometimes on a saucer."""
    foot = lot.uniform(0.36, 0.52)
    handle = fill("main", ellipse(0.62, 0.08, 0.36, 0.38), holes=[ellipse(0.6, 0.08, 0.21, 0.23)])
    body = np.concatenate(
        [
            [(-0.62, -0.5), (0.62, -0.5)],
            spline([(0.6, -0.1), (foot + 0.06, 0.56), (foot - 0.06, 0.7)], 4, False),
            spline([(-foot + 0.06, 0.7), (-foot - 0.06, 0.56), (-0.6, -0.1)], 4, False),
        ]
    )
    parts = [handle, fill("main", body)]
    if lot.random() < 0.5:
        parts.append(fill("light", [(-0.6, -0.12), (0.6, -0.12), (0.57, 0.06), (-0.57, 0.06)], lined=False))
    else:
        parts.append(
            fill("light", spline([(-0.46, -0.28), (-0.38, -0.28), (-0.32, 0.4), (-0.38, 0.4)], 4), lined=False)
        )
    parts += [fill("dark", ellipse(0, -0.5, 0.62, 0.14)), fill("coffee", ellipse(0, -0.48, 0.5, 0.085), lined=False)]
    if lot.random() < 0.5:
        parts.insert(0, fill("dark", ellipse(0, 0.72, 0.86, 0.13)))
    return parts if lot.random() < 0.5 else mirror(parts)


def draw_rocket(lot: Random) -> list[Part]:
    """A rocket in flight with one or two portholes."""
    wide = lot.uniform(0.3, 0.37)
    body = np.concatenate(
        [
            spline([(0, -1), (wide * 0.76, -0.6), (wide, -0.06), (wide * 0.76, 0.5)], 6, False),
            spline([(-wide * 0.76, 0.5), (-wide, -0.06), (-wide * 0.76, -0.6), (0, -1)], 6, False)[:-1],
        ]
    )
    nose = np.concatenate(
        [
            spline([(0, -1), (wide * 0.44, -0.8), (wide * 0.76, -0.56)], 5, False),
            spline([(-wide * 0.76, -0.56), (-wide * 0.44, -0.8), (0, -1)], 5, False)[:-1],
        ]
    )
    fin = [(wide * 0.9, 0.06), (wide + 0.3, 0.46), (wide + 0.28, 0.74), (wide * 0.7, 0.5)]
    parts = [
        fill("flame", spline([(-0.2, 0.5), (0, 0.46), (0.2, 0.5), (0.14, 0.76), (0, 1.0), (-0.14, 0.76)], 4)),
        fill("spark", spline([(-0.1, 0.52), (0.1, 0.52), (0.06, 0.68), (0, 0.8), (-0.06, 0.68)], 4), lined=False),
        fill("dark", spline(fin, 4), spline([(-x, y) for x, y in fin], 4)),
        fill("main", body),
        fill("dark", nose, lined=False),
        fill("metal", ellipse(0, -0.26, 0.17, 0.17)),
        fill("pane", ellipse(0, -0.26, 0.115, 0.115), lined=False),
    ]
    if lot.random() < 0.4:
        parts += [
            fill("metal", ellipse(0, 0.14, 0.12, 0.12)),
            fill("pane", ellipse(0, 0.14, 0.075, 0.075), lined=False),
        ]
    else:
        parts.append(fill("light", box(-wide * 0.86, 0.24, wide * 0.86, 0.34), lined=False))
    return parts


def draw_umbrella(lot: Random) -> list[Part]:
    """An open umbrella with three to five panels."""
    panels = lot.choice((3, 4, 5))
    high = lot.uniform(0.84, 0.98)
    rim = np.linspace(1, -1, panels + 1)
    scallops = [arc((a + b) / 2, 0, (a - b) / 2, 0, -180, 10, 0.13) for a, b in pairwise(rim)]
    canopy = np.concatenate([arc(0, 0, 1, 180, 360, 36, high), *(scallop[1:] for scallop in scallops)])
    hook = np.concatenate([[(0, -0.1), (0, 0.3), (0, 0.6)], arc(0.16, 0.68, 0.16, 180, 20, 10)])
    parts = [
        fill("wood", stroke(hook, 0.08)),
        fill("wood", box(-0.035, -high - 0.12, 0.035, -high + 0.1)),
        fill("main", canopy),
    ]
    for index in range(panels):
        if index % 2 == 1:
            left, right = float(rim[index]), float(rim[index + 1])
            one = spline([(0, -high), (left * 0.72, -high * 0.62), (left, 0)], 5, False)
            other = spline([(right, 0), (right * 0.72, -high * 0.62), (0, -high)], 5, False)
            parts.append(
                fill(
                    "dark",
                    np.concatenate(
                        [one, arc((left + right) / 2, 0, (left - right) / 2, 0, -180, 10, 0.13)[1:-1], other[:-1]]
                    ),
                    lined=False,
                )
            )
    return parts if lot.random() < 0.5 else mirror(parts)
