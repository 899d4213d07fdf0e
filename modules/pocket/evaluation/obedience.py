"""The properties that only need text: what was asked for is in the picture, where and as often as asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from modules.pocket.evaluation.bars import Bar, Finding, Shown, share
from modules.pocket.evaluation.colours import Picture
from modules.pocket.evaluation.drawing import Draw, Manner
from modules.pocket.evaluation.judge import Verdict, judge
from modules.pocket.evaluation.questions import Question
from modules.pocket.scenes.vocabulary import FIGURES

COLOUR, GROUND, KIND, PLACE, COUNT = 0.95, 0.95, 0.90, 0.85, 0.75
"""Least shares of the pictures that show what was asked for."""

Seen = tuple[Question, Verdict, Picture]


def measure_adherence(draw: Draw, questions: Sequence[Question], manner: Manner) -> Finding:
    """Colour of the thing and of the ground on all questions, the kind on those about plane figures."""
    seen = _look(draw, questions, manner)
    figures = [(asked, verdict) for asked, verdict, _ in seen if asked.kind in FIGURES]
    confused = Counter(f"{asked.kind}>{verdict.shape}" for asked, verdict in figures if asked.kind != verdict.shape)
    bars = (
        Bar("colour", share([verdict.colour == asked.colour for asked, verdict, _ in seen]), COLOUR),
        Bar("ground", share([verdict.ground == asked.ground for asked, verdict, _ in seen]), GROUND),
        Bar("kind", share([verdict.shape == asked.kind for asked, verdict in figures]), KIND),
    )
    more = {
        "prompts": len(seen),
        "all": share([obeys(asked, verdict) for asked, verdict, _ in seen]),
        "one_thing": share([verdict.count == 1 for _, verdict, _ in seen]),
        "confused": dict(confused.most_common(12)),
    }
    return Finding(bars, more, _mark(seen, [obeys(asked, verdict) for asked, verdict, _ in seen]))


def measure_places(draw: Draw, questions: Sequence[Question], manner: Manner) -> Finding:
    """Whether the thing stands where it was asked for; "left" also holds for a thing at the top left."""
    seen = _look(draw, questions, manner)
    hits = [stands(asked.place, verdict) for asked, verdict, _ in seen]
    by_place = _part(hits, [asked.place for asked, _, _ in seen])
    return Finding((Bar("place", share(hits), PLACE),), {"prompts": len(seen), "by_place": by_place}, _mark(seen, hits))


def measure_counts(draw: Draw, questions: Sequence[Question], manner: Manner) -> Finding:
    """Whether there are as many things as were asked for."""
    seen = _look(draw, questions, manner)
    hits = [verdict.count == asked.count for asked, verdict, _ in seen]
    by_count = _part(hits, [str(asked.count) for asked, _, _ in seen])
    return Finding((Bar("count", share(hits), COUNT),), {"prompts": len(seen), "by_count": by_count}, _mark(seen, hits))


def obeys(asked: Question, seen: Verdict) -> bool:
    """Whether colour, ground and, for plane figures, kind are as asked."""
    return (
        seen.colour == asked.colour
        and seen.ground == asked.ground
        and (asked.kind not in FIGURES or seen.shape == asked.kind)
    )


def stands(place: str, seen: Verdict) -> bool:
    """Whether a thing was seen at every side that the place names, or in the middle for "middle"."""
    if seen.count == 0:
        return False
    if place == "middle":
        return seen.place == "middle"
    return set(place.split()) <= set(seen.place.split())


def _look(draw: Draw, questions: Sequence[Question], manner: Manner) -> list[Seen]:
    pictures = draw(manner.order([asked.prompt for asked in questions]))
    return [(asked, judge(picture), picture) for asked, picture in zip(questions, pictures, strict=True)]


def _part(hits: Sequence[bool], words: Sequence[str]) -> dict[str, float | None]:
    """The share of hits for each word that was asked for."""
    rows = list(zip(words, hits, strict=True))
    return {word: share([hit for other, hit in rows if other == word]) for word in sorted(set(words))}


def _mark(seen: Sequence[Seen], hits: Sequence[bool]) -> tuple[Shown, ...]:
    return tuple(Shown(picture, hit) for (_, _, picture), hit in zip(seen, hits, strict=True))
