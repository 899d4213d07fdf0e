"""The properties of ControlNets and T2I-Adapters: a picture has the edges, or the colours, that it was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from modules.pocket.evaluation.bars import Bar, Finding, Shown, share
from modules.pocket.evaluation.colours import Picture, to_lab
from modules.pocket.evaluation.drawing import Draw, Manner
from modules.pocket.evaluation.edges import edges_f1, find_edges
from modules.pocket.evaluation.judge import judge
from modules.pocket.evaluation.questions import Question
from modules.pocket.evaluation.sources import render_question

AGREE = 0.7
"""Least mean F1 of the edges of the picture against those given."""
TOLERANCE = 2
"""Pixels."""
NEAR = 15.0
"""Greatest mean distance of colours in CIELAB from those given; about that of two shades of one colour."""
CELLS = 8
"""Along each side of a picture, of which colours are compared."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A question, a picture that shows what it asks for, and the hint that was made of that picture."""

    asked: Question
    picture: Picture
    hint: Picture
    """What the ControlNet is given, RGB of the picture's shape."""


Trace = Callable[[Sequence[Question], int], list[Traced]]
"""From questions and a side in pixels to a traced picture for each."""


def trace_edges(questions: Sequence[Question], side: int) -> list[Traced]:
    """Rendered pictures with their Canny edges at the usual thresholds, white on black."""
    rows = []
    for number, asked in enumerate(questions):
        picture = render_question(asked, side, number)
        edges = cv2.Canny(picture, 100, 200)
        rows.append(Traced(asked, picture, np.repeat(edges[..., None], 3, axis=2)))
    return rows


def measure_control(draw: Draw, control: str, rows: Sequence[Traced], manner: Manner) -> Finding:
    """Edges of the pictures drawn after hints against the edges of the pictures that the hints were made of.

    The same is drawn at weight 0, so that it can be seen what the hint adds.
    """
    hints = np.stack([row.hint for row in rows])
    wanted = [find_edges(row.picture) for row in rows]
    order = manner.order([row.asked.prompt for row in rows])
    guided = replace(order, images=hints, control=control, size=hints.shape[1])
    pictures, free = draw(guided), draw(replace(guided, weight=0.0))
    agreed = [edges_f1(find_edges(one), edges, TOLERANCE) for one, edges in zip(pictures, wanted, strict=True)]
    unled = [edges_f1(find_edges(one), edges, TOLERANCE) for one, edges in zip(free, wanted, strict=True)]
    seen = [judge(picture) for picture in pictures]
    figures = {
        "pictures": len(rows),
        "edges_f1_at_weight_0": round(float(np.mean(unled)), 4),
        "colour": share([each.colour == row.asked.colour for row, each in zip(rows, seen, strict=True)]),
    }
    shown = [Shown(picture, True) for picture in hints]
    shown += [Shown(picture, value >= AGREE) for picture, value in zip(pictures, agreed, strict=True)]
    return Finding((Bar("edges_f1", float(np.mean(agreed)), AGREE),), figures, tuple(shown))


def measure_colours(draw: Draw, control: str, rows: Sequence[Traced], manner: Manner) -> Finding:
    """Colours of pictures drawn after a coarse grid of colours, of which the words say nothing, against that grid.

    The same is drawn at weight 0, so that it can be seen what the grid adds.
    """
    hints = np.stack([row.hint for row in rows])
    order = manner.order([f"a {row.asked.kind}" for row in rows])
    guided = replace(order, images=hints, control=control, size=hints.shape[1])
    pictures, free = draw(guided), draw(replace(guided, weight=0.0))
    found, unled = ([_apart(one, hint) for one, hint in zip(drawn, hints, strict=True)] for drawn in (pictures, free))
    figures = {"pictures": len(rows), "distance_at_weight_0": round(float(np.mean(unled)), 4)}
    shown = [Shown(picture, True) for picture in hints]
    shown += [Shown(picture, value <= NEAR) for picture, value in zip(pictures, found, strict=True)]
    return Finding((Bar("distance", float(np.mean(found)), NEAR, least=False),), figures, tuple(shown))


def _apart(picture: Picture, hint: Picture) -> float:
    """Mean distance of the colours of their cells."""
    small = [cv2.resize(each, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for each in (picture, hint)]
    return float(np.linalg.norm(to_lab(small[0]) - to_lab(small[1]), axis=-1).mean())
