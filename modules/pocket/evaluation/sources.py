"""Rendered pictures to start from: for img2img, for inpainting and for ControlNets, with what is asked of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from modules.pocket.evaluation.colours import Picture
from modules.pocket.evaluation.judge import things_mask
from modules.pocket.evaluation.questions import Question, ask
from modules.pocket.scenes.colours import list_contrasting
from modules.pocket.scenes.lot import plain_scene
from modules.pocket.scenes.render import render
from modules.pocket.scenes.vocabulary import COLOURS, FIGURES

_MARGIN = 0.07
"""How far a mask reaches beyond the thing that it hides, as a share of the side."""

_ASIDE = ("top left", "right", "bottom left", "left", "top right", "bottom right")


@dataclass(frozen=True, slots=True)
class Start:
    """A picture to begin with and what is asked of it."""

    picture: Picture
    asked: Question
    mask: NDArray[np.uint8]
    """(height, width): 255 round the thing that the picture shows, 0 elsewhere."""


def render_question(asked: Question, side: int, variant: int = 0, place: str = "middle") -> Picture:
    """A flat picture of one thing as asked, at a place of the vocabulary."""
    return render(plain_scene(variant, asked.kind, asked.colour, asked.ground, place), side)


def start_aside(questions: Sequence[Question], side: int) -> list[Start]:
    """For each question a picture of the thing at a side of the picture; it is asked for in the middle."""
    starts = []
    for number, asked in enumerate(questions):
        picture = render_question(asked, side, number, _ASIDE[number % len(_ASIDE)])
        wanted = ask(asked.kind, asked.colour, asked.ground, place="middle")
        starts.append(Start(picture, wanted, _cover(picture)))
    return starts


def start_hidden(questions: Sequence[Question], side: int) -> list[Start]:
    """For each question a picture of another thing on its ground, with a mask that hides that thing."""
    starts = []
    for number, (asked, other) in enumerate(_others(questions)):
        picture = render_question(other, side, number)
        starts.append(Start(picture, asked, _cover(picture)))
    return starts


def _others(questions: Sequence[Question]) -> Iterator[tuple[Question, Question]]:
    """Each question with a plane figure of other kind and colour on the same ground."""
    lot = Random(7)
    for asked in questions:
        colours = [name for name in list_contrasting((COLOURS[asked.ground],)) if name != asked.colour]
        kinds = [kind for kind in FIGURES if kind != asked.kind]
        yield asked, ask(lot.choice(kinds), lot.choice(colours), asked.ground)


def _cover(picture: Picture) -> NDArray[np.uint8]:
    things = things_mask(picture)
    rows, columns = np.flatnonzero(things.any(axis=1)), np.flatnonzero(things.any(axis=0))
    if not rows.size:
        raise ValueError("a picture to start from shows nothing that stands out from its ground")
    margin = round(_MARGIN * things.shape[0])
    mask = np.zeros(things.shape, np.uint8)
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    mask[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1] = 255
    return mask
