"""Where things stand: places, pairs and groups, so that nothing touches another thing or leaves the picture.

A spot is (x, y, radius) in shares of the picture's side.
"""

from __future__ import annotations

import numpy as np

Spot = tuple[float, float, float]

MARGIN = 0.03
"""Left free at the picture's edges, for outlines and glow."""

GAP = 0.065
"""Left free between two things: two cells of pixel art."""

RADII = {"small": (0.115, 0.145), "medium": (0.195, 0.25), "large": (0.32, 0.39)}

GROUP_RADII = {2: 0.2, 3: 0.175, 4: 0.155, 5: 0.135}
"""The largest radius of things of a group, by their count."""

CORES = {"circle": 0.48, "square": 0.45, "heart": 0.36, "diamond": 0.36}
"""The figures that another thing fits into, and its radius in shares of theirs."""


def find_place(place: str, size: str, lot: np.random.Generator) -> Spot:
    """A spot for a single thing; a named place is kept clear of the middle as far as the size allows."""
    radius = float(lot.uniform(*RADII[size]))
    words = place.split()
    free = 0.5 - radius - MARGIN
    x = y = 0.5
    if place == "middle":
        reach = min(0.06, free)
    else:
        reach = 0.035
        away = float(lot.uniform(max(0.2, free - 0.05), free)) if free > 0.2 else free
        x += away * (("right" in words) - ("left" in words))
        y += away * (("bottom" in words) - ("top" in words))
    x += float(lot.uniform(-reach, reach))
    y += float(lot.uniform(-reach, reach))
    return clamp(x, radius), clamp(y, radius), radius


def clamp(value: float, radius: float) -> float:
    """The nearest coordinate at which a thing of a radius lies wholly in the picture."""
    return min(max(value, radius + MARGIN), 1 - radius - MARGIN)


def find_pair(relation: str, figure: str, lot: np.random.Generator) -> tuple[Spot, Spot]:
    """Spots for the first and the second thing of a pair; `figure` is the second one's kind, for "inside"."""
    if relation == "inside":
        outer = float(lot.uniform(0.36, 0.42))
        x, y = (clamp(0.5 + float(lot.uniform(-0.05, 0.05)), outer) for _ in range(2))
        inner = outer * CORES[figure] * float(lot.uniform(0.85, 1.0))
        return (x, y - (0.1 * outer if figure == "heart" else 0), inner), (x, y, outer)
    away = [0.5 + sign * float(lot.uniform(0.23, 0.265)) for sign in (-1, 1)]
    across = [0.5 + float(lot.uniform(-0.1, 0.1)) for _ in range(2)]
    if relation in ("right of", "below"):
        away.reverse()
    most = min((abs(away[0] - away[1]) - GAP) / 2, *(min(value, 1 - value) - MARGIN for value in away))
    radii = [most * float(lot.uniform(0.82, 1.0)) for _ in range(2)]
    spots = [
        (away[i], across[i], radii[i]) if relation in ("left of", "right of") else (across[i], away[i], radii[i])
        for i in range(2)
    ]
    return spots[0], spots[1]


def find_group(count: int, lot: np.random.Generator) -> list[Spot]:
    """Spots of one radius for two to five things: in rows, on an arc, or scattered."""
    makers = (find_rows, find_arc, find_scatter)
    while True:
        centres = makers[int(lot.integers(len(makers)))](count, lot)
        apart = min(float(np.hypot(*(centres[i] - centres[j]))) for i in range(count) for j in range(i))
        edge = float(np.minimum(centres, 1 - centres).min())
        radius = min((apart - GAP) / 2, edge - MARGIN, GROUP_RADII[count]) * float(lot.uniform(0.9, 1.0))
        if radius > 0.085:
            return [(float(x), float(y), radius) for x, y in centres]


def find_rows(count: int, lot: np.random.Generator) -> np.ndarray:
    """Centres in one line of up to four, or in two lines; level, upright or a little uneven."""
    split = count == 5 or (count == 4 and lot.random() < 0.65)
    lines = [(count + 1) // 2, count // 2] if split else [count]
    if lot.random() < 0.5:
        lines.reverse()
    centres = []
    for row, length in enumerate(lines):
        y = 0.5 if len(lines) == 1 else 0.27 + 0.46 * row
        step = 0.92 / max(length, 2)
        centres += [(0.5 + step * (index - (length - 1) / 2), y) for index in range(length)]
    points = np.array(centres) + lot.uniform(-0.015, 0.015, (count, 2))
    if lot.random() < 0.35:
        points = points[:, ::-1]
    slack = 0.09 if not split else 0.0
    across = 1 if points[:, 0].std() > points[:, 1].std() else 0
    points[:, across] += float(lot.uniform(-slack, slack))
    return points


def find_arc(count: int, lot: np.random.Generator) -> np.ndarray:
    """Centres on a circle around the middle, at equal angles."""
    reach = float(lot.uniform(0.25, 0.29) if count < 4 else lot.uniform(0.29, 0.33))
    angles = np.radians(360 * np.arange(count) / count + float(lot.uniform(0, 360)))
    return np.stack([0.5 + reach * np.cos(angles), 0.5 + reach * np.sin(angles)], axis=1)


def find_scatter(count: int, lot: np.random.Generator) -> np.ndarray:
    """Centres anywhere, but far enough apart for things that can be told from one another."""
    apart = (2 * GROUP_RADII[count] * 0.84 + GAP) ** 2
    edge = GROUP_RADII[count] * 0.84 + MARGIN
    points: list[tuple[float, float]] = []
    tries = 0
    while len(points) < count:
        x, y = lot.uniform(edge, 1 - edge, 2).tolist()
        if all((x - a) ** 2 + (y - b) ** 2 >= apart for a, b in points):
            points.append((x, y))
        tries += 1
        if tries % 24 == 0 and len(points) < count:
            points.clear()  # the first ones have left no room for the rest
    return np.array(points)
