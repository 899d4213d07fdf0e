"""A model that draws what it is asked for reaches every bar; one that does something else is told by the right bar."""

from __future__ import annotations

import pytest

from modules.pocket.evaluation.bars import Bar
from modules.pocket.evaluation.drawing import Manner
from modules.pocket.evaluation.obedience import measure_adherence, measure_counts, measure_places
from modules.pocket.evaluation.questions import ask, ask_counts, ask_grounds, ask_places
from modules.pocket.scenes.heldout import list_held_out
from tests.pocket.evaluation.conftest import Painter

MANNER = Manner(size=96)


def values(finding):
    return {bar.name: bar.value for bar in finding.bars}


class Changed(Painter):
    """Obeys but for one word."""

    def __init__(self, **change):
        super().__init__()
        self.change = change

    def scene(self, seed, **words):
        changed = {name: change(words) for name, change in self.change.items()}
        return super().scene(seed, **{**words, **changed})


def test_a_model_that_obeys_scores_full_marks(painter):
    finding = measure_adherence(painter, ask_grounds(24), MANNER)
    assert values(finding) == {"colour": 1.0, "ground": 1.0, "kind": 1.0}
    assert finding.met
    assert finding.figures["all"] == 1.0
    assert all(shown.right for shown in finding.shown)
    assert values(measure_places(painter, ask_places(16), MANNER)) == {"place": 1.0}
    assert values(measure_counts(painter, ask_counts(16), MANNER)) == {"count": 1.0}


def test_wrong_colours_cost_the_colour_and_nothing_else():
    other = {"red": "green", "green": "red"}
    painter = Changed(colour=lambda words: other[words["colour"]])
    asked = [ask(kind, colour, "white") for kind in ("star", "ring", "cross") for colour in other]
    finding = measure_adherence(painter, asked, MANNER)
    assert values(finding) == {"colour": 0.0, "ground": 1.0, "kind": 1.0}
    assert not finding.met
    assert finding.figures["all"] == 0.0
    assert not any(shown.right for shown in finding.shown)


def test_wrong_kinds_are_listed_as_confused():
    painter = Changed(kind=lambda words: "circle")
    finding = measure_adherence(painter, [ask("star", "red", "white"), ask("circle", "red", "white")], MANNER)
    assert values(finding)["kind"] == 0.5
    assert finding.figures["confused"] == {"star>circle": 1}


def test_kinds_that_are_no_plane_figures_are_judged_by_colour_alone(painter):
    finding = measure_adherence(painter, [ask("cat", "red", "white"), ask("star", "red", "white")], MANNER)
    assert values(finding)["kind"] == 1.0
    assert values(measure_adherence(painter, [ask("cat", "red", "white")], MANNER))["kind"] is None


def test_wrong_places_and_counts_are_told_apart_by_what_was_asked():
    middle = Changed(place=lambda words: "middle")
    finding = measure_places(middle, [ask("star", "red", "white", place=side) for side in ("left", "top")], MANNER)
    assert values(finding) == {"place": 0.0}
    assert finding.figures["by_place"] == {"left": 0.0, "top": 0.0}
    lone = Changed(count=lambda words: 1)
    finding = measure_counts(lone, [ask("star", "red", "white", count=count) for count in (1, 2, 3)], MANNER)
    assert values(finding)["count"] == pytest.approx(1 / 3)
    assert finding.figures["by_count"] == {"1": 1.0, "2": 0.0, "3": 0.0}
    assert [shown.right for shown in finding.shown] == [True, False, False]


def test_questions_are_held_out_and_mixed_and_in_plain_words():
    grounds, places, counts = ask_grounds(200), ask_places(200), ask_counts(200)
    assert len(grounds) == len(places) == len(counts) == 200
    assert {(each.kind, each.colour, each.ground) for each in grounds} <= set(list_held_out("ground"))
    assert {(each.kind, each.colour, each.place) for each in places} <= set(list_held_out("place"))
    assert {(each.kind, each.colour, each.count) for each in counts} <= set(list_held_out("count"))
    assert len({each.kind for each in grounds[:30]}) == 8
    assert all(each.ground != each.colour for each in [*grounds, *places, *counts])
    assert ask("star", "orange", "blue").prompt == "an orange star on a blue background"
    assert ask("fish", "red", "orange", count=3).prompt == "three red fish on an orange background"
    assert ask("cup", "red", "grey", place="top").prompt == "a red cup at the top on a grey background"


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar("x", 0.9, 0.9), True),
        (Bar("x", 0.89, 0.9), False),
        (Bar("x", 0.2, 0.1, least=False), False),
        (Bar("x", 0.1, 0.1, least=False), True),
        (Bar("x", None, 0.0), False),
    ],
)
def test_a_bar_says_whether_it_is_met(bar, met):
    assert bar.met is met
    assert bar.as_json()["met"] is met
    assert ("least" in bar.as_json()) == bar.least
