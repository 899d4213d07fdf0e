"""Animals: fish, cat and bird."""

from __future__ import annotations

from random import Random

import numpy as np

from modules.pocket.scenes.shapes import Part, ellipse, fill, mirror, spline, stroke


def draw_fish(lot: Random) -> list[Part]:
    """A fish seen from the side, with stripes or a light belly, facing left or right."""
    high = lot.uniform(0.44, 0.58)
    body = spline(
        [
            (-0.96, 0.04),
            (-0.6, -high * 0.72),
            (-0.1, -high),
            (0.4, -high * 0.5),
            (0.62, 0),
            (0.4, high * 0.5),
            (-0.1, high),
            (-0.6, high * 0.72),
        ],
        6,
    )
    fork = lot.uniform(0.66, 0.8)
    tail = spline([(0.5, 0), (0.98, -0.5), (0.94, -0.3), (fork, 0), (0.94, 0.3), (0.98, 0.5)], 4)
    parts = [
        fill("dark", tail),
        fill("dark", spline([(-0.36, -high * 0.8), (-0.1, -high - 0.26), (0.3, -high - 0.2), (0.24, -high * 0.62)], 5)),
        fill("dark", spline([(-0.2, high * 0.8), (0.06, high + 0.2), (0.24, high + 0.14), (0.14, high * 0.74)], 5)),
        fill("main", body),
    ]
    if lot.random() < 0.5:
        for x in (-0.14, 0.16):
            reach = high * (0.9 - abs(x) * 0.5)
            band = [
                (x - 0.08, -reach),
                (x + 0.06, -reach),
                (x + 0.12, 0),
                (x + 0.06, reach),
                (x - 0.08, reach),
                (x - 0.02, 0),
            ]
            parts.append(fill("light", spline(band, 4), lined=False))
    else:
        parts.append(
            fill(
                "light",
                spline([(-0.7, high * 0.46), (-0.1, high * 0.5), (0.4, high * 0.26), (-0.1, high * 0.9)], 5),
                lined=False,
            )
        )
    parts.append(fill("dark", spline([(-0.2, 0.02), (0.08, -0.06), (0.16, 0.16), (-0.04, 0.2)], 4), lined=False))
    parts.append(fill("eye", ellipse(-0.6, -0.1, 0.13, 0.13), lined=False))
    parts.append(fill("pupil", ellipse(-0.62, -0.1, 0.07, 0.07), lined=False))
    return parts if lot.random() < 0.5 else mirror(parts)


def draw_cat(lot: Random) -> list[Part]:
    """A sitting cat that looks at the viewer, its tail to one side."""
    wide = lot.uniform(0.42, 0.5)
    tail = spline([(0.26, 0.84), (0.66, 0.86), (0.84, 0.52), (0.72, 0.2), (0.8, -0.02)], 6, False)
    body = spline(
        [
            (0, -0.2),
            (0.28, 0.0),
            (wide, 0.5),
            (wide, 0.86),
            (0.24, 0.98),
            (-0.24, 0.98),
            (-wide, 0.86),
            (-wide, 0.5),
            (-0.28, 0.0),
        ],
        5,
    )
    ear = lot.uniform(0.92, 1.04)
    parts = [
        fill("main", stroke(tail, 0.17, 0.13)),
        fill("main", body),
        fill("light", ellipse(0, 0.5, 0.2, 0.3), lined=False),
        fill("dark", stroke([(-0.02, 0.7), (0, 0.8), (0, 0.96)], 0.04), lined=False),
        fill("main", [(-0.44, -0.36), (-0.4, -ear), (-0.08, -0.64)], [(0.44, -0.36), (0.4, -ear), (0.08, -0.64)]),
        fill(
            "blush",
            [(-0.36, -0.54), (-0.35, -ear + 0.16), (-0.18, -0.64)],
            [(0.36, -0.54), (0.35, -ear + 0.16), (0.18, -0.64)],
            lined=False,
        ),
        fill("main", ellipse(0, -0.36, 0.5, 0.4)),
    ]
    if lot.random() < 0.5:
        marks = [stroke([(x, -0.72), (x * 0.9, -0.64), (x * 0.8, -0.56)], 0.05) for x in (-0.12, 0, 0.12)]
        parts.append(fill("dark", *marks, lined=False))
    eyes = "spark" if lot.random() < 0.5 else "eye"
    parts += [
        fill(eyes, ellipse(-0.2, -0.4, 0.1, 0.11), ellipse(0.2, -0.4, 0.1, 0.11), lined=False),
        fill("pupil", ellipse(-0.2, -0.4, 0.045, 0.09), ellipse(0.2, -0.4, 0.045, 0.09), lined=False),
        fill("blush", [(-0.07, -0.26), (0.07, -0.26), (0, -0.18)], lined=False),
    ]
    whiskers = [
        stroke([(s * 0.22, -0.2 + d), (s * 0.4, -0.22 + 2 * d), (s * 0.66, -0.24 + 3 * d)], 0.025)
        for s in (-1, 1)
        for d in (-0.03, 0.05)
    ]
    parts.append(fill("ink", *whiskers, lined=False))
    return parts if lot.random() < 0.5 else mirror(parts)


def draw_bird(lot: Random) -> list[Part]:
    """A bird seen from the side, standing or in flight with its wing raised."""
    flying = lot.random() < 0.4
    body = spline(
        [
            (-0.62, -0.52),
            (-0.34, -0.62),
            (-0.1, -0.34),
            (0.36, -0.06),
            (0.72, 0.2),
            (0.2, 0.52),
            (-0.26, 0.46),
            (-0.56, 0.1),
            (-0.72, -0.28),
        ],
        6,
    )
    tail = [(0.44, 0.02), (1.0, 0.1 + lot.uniform(-0.06, 0.06)), (0.98, 0.38), (0.42, 0.36)]
    parts = [fill("dark", tail)]
    if not flying:
        legs = [stroke([(x, 0.42), (x, 0.6), (x, 0.84)], 0.05) for x in (-0.06, 0.16)]
        feet = [stroke([(x - 0.14, 0.86), (x, 0.85), (x + 0.06, 0.86)], 0.05) for x in (-0.06, 0.16)]
        parts.append(fill("beak", *legs, *feet))
    parts.append(fill("beak", [(-0.66, -0.46), (-1.0, -0.3), (-0.66, -0.2)]))
    parts.append(fill("main", body))
    parts.append(
        fill("light", spline([(-0.56, -0.02), (-0.3, 0.1), (0.02, 0.44), (-0.28, 0.42), (-0.5, 0.16)], 5), lined=False)
    )
    if flying:
        wing = spline(
            [(-0.14, 0.0), (0.06, -0.5), (0.5, -0.92), (0.52, -0.6), (0.6, -0.4), (0.44, -0.1), (0.3, 0.12)], 5
        )
    else:
        wing = spline([(-0.22, -0.04), (0.14, -0.08), (0.66, 0.22), (0.34, 0.34), (0.0, 0.3)], 5)
    parts.append(fill("dark", wing))
    parts.append(fill("eye", ellipse(-0.48, -0.38, 0.09, 0.09), lined=False))
    parts.append(fill("pupil", ellipse(-0.49, -0.38, 0.055, 0.055), lined=False))
    if lot.random() < 0.35:
        crest = [np.array([(-0.4, -0.56), (-0.3 + d, -0.8 + abs(d)), (-0.22, -0.5)]) for d in (0.0, 0.14)]
        parts.insert(0, fill("dark", *crest))
    return parts if lot.random() < 0.5 else mirror(parts)
