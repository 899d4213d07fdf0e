"""Scenes: the same seed gives the same picture, pictures show what captions say, and held-out combinations stay out."""

from __future__ import annotations

import numpy as np
import pytest

from modules.pocket.captions import caption, plain_caption
from modules.pocket.evaluation.judge import judge
from modules.pocket.render import render
from modules.pocket.world import COLOURS, SHAPES, SPECIAL_GROUNDS, draw_scene, held_out, plain_scene


def test_a_scene_follows_from_seed_and_index_alone():
    first, again = draw_scene(3, 17), draw_scene(3, 17)
    assert first == again
    assert np.array_equal(render(first), render(again))
    assert draw_scene(3, 18) != first
    assert draw_scene(4, 17) != first


def test_pictures_are_anti_aliased_and_of_the_native_size():
    picture = render(plain_scene(1, "circle", "black", "white"))
    assert picture.shape == (128, 128, 3)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture[..., 0])) > 10


def test_the_judge_is_right_about_rendered_pictures():
    """What it gets wrong here bounds what an evaluation of the model can be wrong by."""
    rows = [
        (seed, shape, colour, ground)
        for seed in range(2)
        for shape in SHAPES
        for colour in COLOURS
        for ground in COLOURS
        if colour != ground
    ][::3]
    seen = [(row[1:], judge(render(plain_scene(*row)))) for row in rows]
    right = [(verdict.shape, verdict.colour, verdict.ground) == wanted for wanted, verdict in seen]
    assert np.mean(right) >= 0.97
    assert all(verdict.count == 1 for _, verdict in seen)


def test_pictures_show_the_counts_places_and_sizes_their_scenes_say():
    hits = []
    for index in range(250):
        scene = draw_scene(5, index)
        if scene.ground not in COLOURS:
            continue
        seen = judge(render(scene))
        hits.append(seen.count == scene.count and seen.shape == scene.shape)
        x, y = seen.centre
        if scene.place in ("left", "right"):
            hits.append((x < 0.45) if scene.place == "left" else (x > 0.55))
        if scene.place in ("top", "bottom"):
            hits.append((y < 0.45) if scene.place == "top" else (y > 0.55))
        if scene.count == 1 and scene.size != "default" and scene.place == "centre":
            hits.append((seen.cover < 0.1) if scene.size == "small" else (seen.cover > 0.13))
    assert np.mean(hits) >= 0.97


def test_an_empty_picture_shows_nothing():
    verdict = judge(np.full((128, 128, 3), 240, np.uint8))
    assert (verdict.ground, verdict.shape, verdict.count) == ("white", "none", 0)


def test_captions_say_what_the_scene_holds_in_many_wordings():
    lot = np.random.default_rng(0)
    scene = next(draw_scene(1, index) for index in range(100) if draw_scene(1, index).ground == "white")
    wordings = [caption(scene, lot) for _ in range(300)]
    assert len({each.text for each in wordings}) > 20
    for each in wordings:
        assert ("shape" not in each.said) or scene.shape[:4] in each.text
        assert ("colour" not in each.said) or scene.colour in each.text
        assert ("ground" not in each.said) or "white" in each.text


def test_the_plain_form_is_frequent_and_grammatical():
    assert plain_caption("star", "orange", "blue") == "an orange star on a blue background"
    lot = np.random.default_rng(1)
    texts = [caption(draw_scene(1, index), lot).text for index in range(600)]
    assert sum(" on a" in text and text.endswith(" background") for text in texts) > 150
    assert any(word in " ".join(texts) for word in ("sky", "checkerboard", "sunset"))


def test_held_out_combinations_never_come_up():
    listed = held_out()
    assert len(listed) == 72
    assert all(colour != ground for _, colour, ground in listed)
    drawn = {draw_scene(1, index).combination for index in range(5_000)}
    assert not drawn & listed


@pytest.mark.parametrize("ground", sorted(SPECIAL_GROUNDS))
def test_special_grounds_are_drawn(ground):
    scene = next(draw_scene(1, index) for index in range(2000) if draw_scene(1, index).ground == ground)
    assert len(np.unique(render(scene)[0:3].reshape(-1, 3), axis=0)) >= 1
    assert np.ptp(render(scene)[:, 2].astype(int), axis=0).max() > 30
