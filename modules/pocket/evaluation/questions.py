"""What is asked of a model: prompts about combinations that training never showed, and what has to be seen.

The combinations come from the list that keeps them out of training, `configs/pocket-heldout-scenes.json`. Prompts are
in the plain wording of the captions, so that a figure tells how well things are put together and not how well odd
wordings are understood.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from modules.pocket.scenes.captions import make_plural, set_article
from modules.pocket.scenes.colours import list_contrasting
from modules.pocket.scenes.heldout import Combination, list_held_out
from modules.pocket.scenes.vocabulary import COLOURS
from modules.pocket.scenes.words import COUNT_WORDS, PLACE_WORDS


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and what its picture has to show."""

    prompt: str
    kind: str
    colour: str
    ground: str
    place: str = ""
    """One of the places of the vocabulary; empty where nothing is said about it."""
    count: int = 1


def ask(kind: str, colour: str, ground: str, place: str = "", count: int = 1) -> Question:
    """The question in plain words, for instance "two red circles on a white background".

    Raises KeyError for a place that the vocabulary lacks, or more than five things.
    """
    one = count == 1
    things = set_article(f"{colour} {kind}") if one else f"{COUNT_WORDS[count][0]} {colour} {make_plural(kind)}"
    where = f" {PLACE_WORDS[place][0]}" if place else ""
    prompt = f"{things}{where} on {set_article(f'{ground} background')}"
    return Question(prompt, kind, colour, ground, place, count)


def ask_grounds(limit: int) -> list[Question]:
    """Up to `limit` questions about held-out combinations of plane figure, colour and plain ground."""
    return [ask(kind, colour, str(ground)) for kind, colour, ground in _mix("ground")][:limit]


def ask_places(limit: int) -> list[Question]:
    """Up to `limit` questions about held-out combinations of kind, colour and side, before grounds in turn."""
    rows = enumerate(_mix("place")[:limit])
    return [ask(kind, colour, _ground(colour, number), place=str(side)) for number, (kind, colour, side) in rows]


def ask_counts(limit: int) -> list[Question]:
    """Up to `limit` questions about held-out combinations of kind, colour and number, one to three."""
    rows = enumerate(_mix("count")[:limit])
    return [ask(kind, colour, _ground(colour, number), count=int(many)) for number, (kind, colour, many) in rows]


def _mix(name: str) -> list[Combination]:
    """One list of held-out combinations in a fixed order that mixes them, so that a few of them are of all sorts."""
    rows = list_held_out(name)
    Random(name).shuffle(rows)
    return rows


def _ground(colour: str, number: int) -> str:
    """A plain ground that the colour stands out from, another one for each number."""
    grounds = list_contrasting((COLOURS[colour],))
    return grounds[number % len(grounds)]
