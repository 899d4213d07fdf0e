"""Scenes by lot and to order: what they hold, how often, and what they never show."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

import modules
from modules.pocket.scenes.colours import CONTRAST, NEON_COLOURS, dim, measure_distance
from modules.pocket.scenes.grounds import list_colours
from modules.pocket.scenes.heldout import LENGTHS, choose_held_out, is_held_out, list_held_out
from modules.pocket.scenes.kinds.register import MAKERS, make_parts
from modules.pocket.scenes.lot import draw_scene, plain_scene
from modules.pocket.scenes.scene import Scene
from modules.pocket.scenes.vocabulary import COLOURS, FIGURES, GROUNDS, KINDS, PLACES, RELATIONS, SIZES, STYLES

FILE = Path(modules.__file__).resolve().parents[1] / "configs" / "pocket-heldout-scenes.json"


@lru_cache(maxsize=1)
def draw_many() -> tuple[Scene, ...]:
    return tuple(draw_scene(11, index) for index in range(1600))


def test_a_scene_depends_on_its_seed_and_number_alone():
    assert draw_scene(3, 14) == draw_scene(3, 14)
    assert len({draw_scene(seed, index) for seed in range(4) for index in range(4)}) == 16


def test_every_word_of_the_vocabulary_is_drawn():
    scenes = draw_many()
    assert {thing.kind for scene in scenes for thing in scene.things} == set(KINDS)
    assert {thing.colour for scene in scenes for thing in scene.things} == set(COLOURS)
    assert {scene.ground.kind for scene in scenes} == set(GROUNDS)
    assert {scene.ground.colours[0] for scene in scenes if scene.ground.kind == "plain"} == set(COLOURS)
    assert {scene.style for scene in scenes} == set(STYLES)
    assert {scene.size for scene in scenes} == set(SIZES)
    assert {scene.place for scene in scenes} == set(PLACES)
    assert {scene.relation for scene in scenes} == {*RELATIONS, None}
    assert {scene.count for scene in scenes} == {1, 2, 3, 4, 5}


def test_shares_are_as_the_training_wants_them():
    scenes = draw_many()
    single = [scene for scene in scenes if scene.count == 1]
    shares = {
        "single": (len(single) / len(scenes), 0.55),
        "pair": (sum(scene.relation is not None for scene in scenes) / len(scenes), 0.25),
        "plain": (sum(scene.ground.kind == "plain" for scene in scenes) / len(scenes), 0.55),
        "flat": (sum(scene.style == "flat" for scene in scenes) / len(scenes), 0.5),
        "figures": (sum(scene.things[0].kind in FIGURES for scene in scenes) / len(scenes), 0.5),
        "placed": (sum(scene.place != "middle" for scene in single) / len(single), 0.4 * 8 / 9),
        "small": (sum(scene.size == "small" for scene in single) / len(single), 0.2),
        "large": (sum(scene.size == "large" for scene in single) / len(single), 0.2),
    }
    assert {name: got for name, (got, wanted) in shares.items() if abs(got - wanted) > 0.07} == {}


def test_a_thing_always_stands_out_from_the_ground():
    for scene in draw_many():
        for thing in scene.things:
            for colour in list_colours(scene.ground):
                before = dim(colour) if scene.style == "neon" else colour
                assert measure_distance(COLOURS[thing.colour], before) >= CONTRAST
            assert scene.style != "neon" or thing.colour in NEON_COLOURS


def test_pairs_are_of_two_kinds_and_colours_and_stand_as_their_relation_says():
    pairs = [scene for scene in draw_many() if scene.relation]
    for scene in pairs:
        first, second = scene.things
        assert first.kind != second.kind
        assert measure_distance(COLOURS[first.colour], COLOURS[second.colour]) >= CONTRAST
        x, y = first.x - second.x, first.y - second.y
        if scene.relation == "inside":
            assert (x * x + y * y) ** 0.5 + first.radius < second.radius
        else:
            along = {"left of": -x, "right of": x, "above": -y, "below": y}[scene.relation]
            assert along > 0.4 > max(abs(x), abs(y)) - along


def test_things_keep_apart_and_stay_within_the_picture():
    for scene in draw_many():
        for thing in scene.things:
            assert thing.radius + 0.029 < min(thing.x, thing.y, 1 - thing.x, 1 - thing.y) + 1e-6
        if scene.relation != "inside":
            for i, one in enumerate(scene.things):
                for other in scene.things[:i]:
                    apart = ((one.x - other.x) ** 2 + (one.y - other.y) ** 2) ** 0.5
                    assert apart > one.radius + other.radius + 0.05


def test_a_named_place_is_plainly_on_its_side():
    for scene in draw_many():
        thing = scene.things[0]
        for word in scene.place.split() if scene.count == 1 else ():
            away = {"left": 0.5 - thing.x, "right": thing.x - 0.5, "top": 0.5 - thing.y, "bottom": thing.y - 0.5}
            assert word == "middle" or away[word] > 0.15


@pytest.mark.parametrize("kind", MAKERS)
def test_every_thing_fills_the_circle_that_is_meant_for_it(kind):
    for variant in range(6):
        reach = max(float((o**2).sum(axis=1).max()) ** 0.5 for part in make_parts(kind, variant) for o in part.outlines)
        assert reach == pytest.approx(1)


def read_file() -> dict[str, list[tuple]]:
    return {name: [tuple(row) for row in rows] for name, rows in json.loads(FILE.read_text("utf-8")).items()}


def test_the_file_of_held_out_combinations_is_what_its_rule_gives():
    lists = read_file()
    assert lists == {name: choose_held_out(name) for name in LENGTHS}
    assert all(len(set(rows)) == len(rows) >= 200 for rows in lists.values())
    assert list_held_out("place") == lists["place"]


def test_held_out_combinations_are_spread_over_every_word():
    words = {"ground": COLOURS, "place": ("left", "right", "top", "bottom"), "count": (1, 2, 3), "style": STYLES}
    for name, rows in read_file().items():
        kinds = FIGURES if name == "ground" else KINDS
        for position, vocabulary in enumerate((kinds, COLOURS, words[name])):
            uses = Counter(row[position] for row in rows)
            assert set(uses) == set(vocabulary)
            assert min(uses.values()) > 0.4 * len(rows) / len(vocabulary)


def test_no_scene_shows_a_held_out_combination():
    lists = {name: set(rows) for name, rows in read_file().items()}
    for scene in draw_many():
        for thing in scene.things:
            count = 1 if scene.relation else len(scene.things)
            assert (thing.kind, thing.colour, scene.style) not in lists["style"]
            assert (thing.kind, thing.colour, count) not in lists["count"]
            assert (
                scene.ground.kind != "plain" or (thing.kind, thing.colour, *scene.ground.colours) not in lists["ground"]
            )
            assert scene.count > 1 or (thing.kind, thing.colour, scene.place) not in lists["place"]


def test_scenes_to_order_may_be_held_out_and_say_so():
    kind, colour, ground = list_held_out("ground")[0]
    assert is_held_out(plain_scene(0, kind, colour, str(ground)))
    kind, colour, place = list_held_out("place")[5]
    assert is_held_out(plain_scene(0, kind, colour, "white" if colour != "white" else "black", place=str(place)))
    kind, colour, count = next(row for row in list_held_out("count") if row[2] == 3)
    assert is_held_out(plain_scene(0, kind, colour, "white", count=int(count)))
    with pytest.raises(ValueError, match="'colour' is no list of held-out combinations"):
        list_held_out("colour")


def test_a_scene_to_order_is_what_was_ordered():
    scene = plain_scene(4, "cat", "orange", "blue", place="top left", style="neon", size="small")
    thing = scene.things[0]
    assert (thing.kind, thing.colour, scene.ground.colours, scene.style) == ("cat", "orange", ("blue",), "neon")
    assert thing.x < 0.35 > thing.y
    assert plain_scene(4, "cat", "orange", "blue", count=5).count == 5
    assert plain_scene(1, "cat", "orange", "blue") != plain_scene(2, "cat", "orange", "blue")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (("dog", "red", "blue"), "'dog' is no kind"),
        (("cat", "beige", "blue"), "'beige' is no colour"),
        (("cat", "red", "teal"), "'teal' is no ground"),
        (("cat", "red", "blue", "behind"), "'behind' is no place"),
        (("cat", "red", "blue", "left", 2), "a place only for one: not 2 at 'left'"),
        (("cat", "red", "blue", "middle", 6), "one to five things"),
        (("cat", "red", "blue", "middle", 1, "oil"), "'oil' is no style"),
    ],
)
def test_orders_that_cannot_be_met_are_refused(order, message):
    with pytest.raises(ValueError, match=message):
        plain_scene(0, *order)
