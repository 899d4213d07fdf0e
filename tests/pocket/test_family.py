"""What ships beside the pocket model does what it is for, drawn by the studio as a person would have it drawn.

Few prompts of each property of `launch.py pocket eval`; docs/pocket/figures.json has the figures of all of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modules.pocket.evaluation.drawing import Manner, Order
from modules.pocket.evaluation.edges import edges_f1, find_edges
from modules.pocket.evaluation.guided import measure_colours
from modules.pocket.evaluation.judge import judge
from modules.pocket.evaluation.known import PALETTES, TRACES, open_learned
from modules.pocket.evaluation.learned import Presence
from modules.pocket.evaluation.obedience import obeys
from modules.pocket.evaluation.painting import measure_inpainting
from modules.pocket.evaluation.questions import ask, ask_grounds, ask_places
from modules.pocket.evaluation.sources import start_hidden
from modules.pocket.evaluation.studio import StudioDraw
from modules.pocket.stages.folders import size_of
from tests.factories.pocket import POCKET, make_pocket_engine

LIMIT = 90 * 2**20
"""Bytes of the whole family in the repository."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    made = make_pocket_engine(tmp_path_factory.mktemp("family"))
    yield made
    made.close()


def seeds(count):
    return tuple(range(1000, 1000 + count))


def test_the_family_is_small_enough_to_be_cloned():
    members = [POCKET, *POCKET.parent.glob("pocket-*")]
    assert {path.name for path in members} >= {"pocket", "pocket-turbo", "pocket-inpaint", "pocket-mmdit"}
    assert sum(map(size_of, members)) <= LIMIT
    for path in members:
        assert (path / "README.md").exists()


def test_four_steps_draw_what_is_asked_for(engine):
    asked = [ask("circle", "red", "white"), *ask_grounds(7)]
    pictures = StudioDraw(engine, "pocket-turbo")(Order([each.prompt for each in asked], seeds(8), steps=4, size=256))
    seen = [judge(picture) for picture in pictures]
    assert obeys(asked[0], seen[0]), seen[0]
    assert sum(map(obeys, asked, seen)) >= 7, list(zip(asked, seen, strict=True))


def test_the_transformer_knows_what_goes_where_in_which_colour(engine):
    asked = [*ask_grounds(4), *ask_places(4)]
    order = Order([each.prompt for each in asked], seeds(8), steps=12, size=256, guidance=1.5)
    seen = [judge(picture) for picture in StudioDraw(engine, "pocket-mmdit")(order)]
    for side in ("ground", "colour"):
        assert sum(getattr(one, side) == getattr(each, side) for one, each in zip(seen, asked, strict=True)) >= 7, side


def test_what_is_asked_for_appears_inside_of_the_mask_and_nothing_changes_outside(engine):
    starts = start_hidden(ask_grounds(6), 256)
    finding = measure_inpainting(
        StudioDraw(engine, "pocket-inpaint"), starts, Manner(size=256, steps=12), overlaid=True
    )
    bars = {bar.name: bar.value for bar in finding.bars}
    assert bars["outside_largest"] == 0
    assert bars["appears"] >= 4 / 6


def test_pictures_take_the_colours_of_the_grid_that_they_are_given(engine):
    rows = PALETTES["colour"](ask_grounds(3), 256)
    finding = measure_colours(StudioDraw(engine), "pocket-colour", rows, Manner(size=256, steps=12))
    assert finding.bars[0].value <= 15
    assert finding.figures["distance_at_weight_0"] >= 30


@pytest.mark.parametrize("kind", sorted(path.name for path in (POCKET / "controlnet").glob("*")))
def test_pictures_follow_the_hint_that_they_are_given(engine, kind):
    rows = TRACES[kind](ask_grounds(3), 256)
    hints = np.stack([row.hint for row in rows])
    order = Order(
        [row.asked.prompt for row in rows], seeds(3), images=hints, control=f"pocket-{kind}", steps=12, size=256
    )
    led, free = (StudioDraw(engine)(replace(order, weight=weight)) for weight in (1.0, 0.0))
    wanted = [find_edges(row.picture) for row in rows]

    def agreement(drawn):
        return np.mean([edges_f1(find_edges(one), edges) for one, edges in zip(drawn, wanted, strict=True)])

    assert agreement(led) >= 0.6
    assert agreement(led) > agreement(free) + 0.2


@pytest.mark.parametrize("name", ["robot", "stained-glass"])
def test_what_a_lora_has_learned_comes_with_its_weight(engine, name):
    learned = open_learned(name)
    presence = Presence(list(learned.shown), list(learned.unshown))
    order = Order(learned.prompts[:4], seeds(4), adapter=name, steps=12, size=256)
    with_it, without = (StudioDraw(engine)(replace(order, weight=weight)) for weight in (1.0, 0.0))
    much, little = (np.mean([presence.measure(picture) for picture in drawn]) for drawn in (with_it, without))
    assert much > little + 0.3
