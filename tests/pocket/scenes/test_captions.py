"""Captions: true of their scenes, varied, short, and open about what they say."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pytest

from modules.pocket.scenes import words
from modules.pocket.scenes.captions import ATTRIBUTES, Caption, attributes, caption, plain_caption
from modules.pocket.scenes.lot import draw_scene, plain_scene
from modules.pocket.scenes.scene import Ground, Scene, Thing


@lru_cache(maxsize=1)
def write_many() -> tuple[tuple[Scene, Caption], ...]:
    lot = np.random.default_rng(2)
    scenes = [draw_scene(21, index) for index in range(700)]
    return tuple((scene, caption(scene, lot)) for scene in scenes)


def find_words(text: str, table: dict) -> set:
    """The names whose words, one or several of them, stand in a text; the longest match counts."""
    phrases = sorted(((phrase, name) for name, row in table.items() for phrase in row), key=lambda row: -len(row[0]))
    found = set()
    for phrase, name in phrases:
        ends = "(?:e?s)?" if table is words.KIND_WORDS else ""
        text, count = re.subn(rf"\b{re.escape(phrase)}{ends}\b", "#", text)
        if count:
            found.add(name)
    return found


def strip_scenery(scene: Scene, text: str) -> str:
    """The text without the phrases for its ground that have colours or things of their own in them."""
    for table in (words.GROUND_WORDS, words.GROUND_KEYWORDS):
        for phrase in sorted(table.get(scene.ground.kind, ()), key=len, reverse=True):
            text = re.sub(rf"\b{phrase}$|\b{phrase}(?=,| )", "", text, count=1)
    return text


def test_captions_are_lower_case_short_and_well_formed():
    for _, said in write_many():
        assert said.text == said.text.lower() == " ".join(said.text.split())
        assert 1 <= len(said.text.split()) <= 28
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|,,| ,|,$|\{", said.text), said.text


def test_the_same_lot_gives_the_same_caption_and_another_one_others():
    scene = plain_scene(0, "cat", "red", "blue", place="left")
    texts = [caption(scene, np.random.default_rng(seed)).text for seed in range(40)]
    assert texts == [caption(scene, np.random.default_rng(seed)).text for seed in range(40)]
    assert len(set(texts)) > 34


def test_captions_name_only_colours_and_kinds_that_are_there():
    for scene, said in write_many():
        text = strip_scenery(scene, said.text)
        there = {thing.colour for thing in scene.things} | set(scene.ground.colours)
        assert find_words(text, words.COLOUR_WORDS) <= there, said.text
        assert find_words(text, words.KIND_WORDS) <= {thing.kind for thing in scene.things}, said.text


def test_what_a_caption_says_can_be_read_from_it():
    for scene, said in write_many():
        text, values = said.text, attributes(scene)
        bare = strip_scenery(scene, text)
        assert said.said <= set(ATTRIBUTES)
        assert all(values[name] is not None for name in said.said)
        for name in said.said & {"kind", "kind2"}:
            assert values[name] in find_words(bare, words.KIND_WORDS), text
        for name in said.said & {"colour", "colour2"}:
            assert values[name] in find_words(bare, words.COLOUR_WORDS), text
        if "size" in said.said:
            assert values["size"] in find_words(text, words.SIZE_WORDS), text
        if "relation" in said.said:
            assert values["relation"] in find_words(text, words.RELATION_WORDS), text
        if "ground" in said.said and scene.ground.kind not in ("plain", "gradient"):
            assert any(p in text for t in (words.GROUND_WORDS, words.GROUND_KEYWORDS) for p in t[scene.ground.kind])


def test_what_a_caption_leaves_out_it_does_not_hint_at():
    for scene, said in write_many():
        text = strip_scenery(scene, said.text)
        if "size" not in said.said:
            assert not find_words(text, words.SIZE_WORDS), said.text
        if not said.said & {"colour", "colour2", "ground"}:
            assert not find_words(text, words.COLOUR_WORDS), said.text
        if "style" not in said.said:
            assert not re.search("flat|outline|cartoon|pencil|watercolo|pixel|neon", text), said.text
        if scene.relation and "relation" not in said.said and "," not in text:
            assert re.search(r"\b(beside|next to|and)\b", text), said.text


def test_every_attribute_is_said_often_and_left_out_sometimes():
    seen = [(attributes(scene), said.said) for scene, said in write_many()]
    for name in ATTRIBUTES:
        share = np.mean([name in said for values, said in seen if values[name] is not None])
        assert 0.25 < share < (1.01 if name.startswith("kind") else 0.99), name


def test_some_captions_are_keywords():
    share = np.mean([text.text.count(",") > 1 for _, text in write_many()])
    assert 0.04 < share < 0.25


def test_the_attributes_of_a_single_thing_a_group_and_a_pair():
    assert attributes(plain_scene(0, "cat", "red", "blue", place="left", size="small", style="neon")) == {
        "kind": "cat",
        "colour": "red",
        "size": "small",
        "place": "left",
        "count": 1,
        "ground": "blue",
        "style": "neon",
        "kind2": None,
        "colour2": None,
        "relation": None,
    }
    group = attributes(plain_scene(0, "cat", "red", "blue", count=3))
    assert (group["count"], group["size"], group["place"]) == (3, None, None)
    things = (Thing("cat", "red", 0.3, 0.5, 0.2, 0, 0), Thing("car", "blue", 0.7, 0.5, 0.2, 0, 0))
    pair = attributes(Scene(things, Ground("gradient", ("pink", "white"), 0), "flat", "medium", "middle", "left of"))
    assert (pair["count"], pair["kind2"], pair["colour2"], pair["relation"]) == (1, "car", "blue", "left of")
    assert pair["ground"] == "gradient"


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (("circle", "red", "white"), "a red circle on a white background"),
        (("umbrella", "orange", "orange"), "an orange umbrella on an orange background"),
    ],
)
def test_the_plainest_caption(order, text):
    assert plain_caption(*order) == text
