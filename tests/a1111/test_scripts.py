"""Scripts written for A1111 in whole jobs: from the queue to the pictures, with the model that ships."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse

PLAIN = GenerationRequest(
    PromptParams("a red circle"), CanvasParams(64, 64), SeedParams(3), SamplingParams(steps=2, sampler="Euler")
)


def use(name, **values):
    return ScriptUse(name, tuple(GivenValue(key, value) for key, value in values.items()))


def drawn(studio, scripts=None, request=PLAIN):
    wanted = replace(request, scripts=scripts or ScriptParams())
    return studio.queue.submit(wanted, "ada").wait(120)


def pixels(picture):
    return np.asarray(picture.image).astype(int)


@pytest.fixture(scope="module")
def plain(legacy_studio):
    return drawn(legacy_studio).pictures[0]


def test_all_of_them_are_loaded_and_leave_the_studios_own_names_alone(legacy_studio):
    loaded = [one for one in legacy_studio.scripts.entries() if not one.name.endswith(".py")]  # files are our own
    assert [(one.name, one.state, one.error) for one in loaded] == [
        ("pair", "on", ""),
        ("quiet", "off", ""),
        ("tint", "on", ""),
    ]
    assert not hasattr(sys.modules["modules.scripts"], "AlwaysVisible")
    assert "adder" not in sys.modules


def test_inputs_become_parameters_in_their_order(legacy_studio):
    entry = legacy_studio.scripts.find("pair of seeds", "txt2img", always_on=False)
    rows = [(one.name, one.kind, one.default, one.choices, one.hidden) for one in entry.parameters]
    assert rows == [
        ("gap", "number", 1, None, False),
        ("order", "choice", "Up", ("Up", "Down"), False),
        ("state", "text", "", None, True),
    ]
    assert (entry.parameters[0].minimum, entry.parameters[0].maximum, entry.where) == (1, 9, "both")


@pytest.mark.parametrize(("order", "second"), [("Up", 5), ("Down", 1)])
def test_a_script_that_is_chosen_draws_twice_and_hands_out_a_sheet_of_both(legacy_studio, plain, order, second):
    result = drawn(legacy_studio, ScriptParams(run=use("Pair of seeds", gap=2, order=order)))
    assert result.notes == ()
    grid, one, two = result.pictures
    assert grid.image.size == (128, 64)
    assert np.array_equal(pixels(grid), np.concatenate([pixels(one), pixels(two)], axis=1))
    assert np.array_equal(pixels(one), pixels(plain))
    alone = drawn(legacy_studio, request=replace(PLAIN, seeds=SeedParams(second))).pictures[0]
    assert np.array_equal(pixels(two), pixels(alone))
    assert (one.seed, two.seed) == (3, second)
    assert f"Seed: {second}" in two.infotext
    assert f"Pair: {second}" in two.infotext
    assert "Pair: 3" in one.infotext


def test_one_that_is_always_on_does_nothing_until_it_is_told_to(legacy_studio, plain):
    assert "star" not in plain.prompt
    assert "Tint" not in plain.infotext


def test_one_that_is_always_on_changes_the_words_before_and_the_picture_after_drawing(legacy_studio, plain):
    result = drawn(legacy_studio, ScriptParams((use("Tint", on=True, colour="Blue"),)))
    assert result.notes == ()
    (picture,) = result.pictures
    assert picture.prompt == "a red circle, a yellow star"
    assert "Tint order: process" in picture.infotext
    other = drawn(legacy_studio, request=replace(PLAIN, prompt=PromptParams("a red circle, a yellow star"))).pictures[0]
    goal = pixels(other)
    goal[..., 1] = 0
    goal = (goal + np.array([0, 0, 255])) / 2
    assert np.abs(pixels(picture) - goal).max() <= 1
    assert not np.array_equal(pixels(other), pixels(plain))


def test_a_drawing_inside_of_postprocess_image_starts_from_the_picture(legacy_studio, plain):
    result = drawn(legacy_studio, ScriptParams((use("Tint", again=True),)))
    assert result.notes == ()
    assert result.pictures[0].prompt == "a red circle"
    assert not np.array_equal(pixels(result.pictures[0]), pixels(plain))


def test_callbacks_about_guidance_are_heard_at_each_step(legacy_studio, plain):
    legacy_studio.scripts.switch("quiet", "enable")
    try:
        result = drawn(legacy_studio)
        seen = next(
            m for name, m in sys.modules.items() if name.startswith("_extension_quiet") and "scripts.quiet" in name
        )
        assert seen.SEEN == [(0, 2), (1, 2)]
        assert result.notes == ()
        assert not np.array_equal(pixels(result.pictures[0]), pixels(plain))
    finally:
        legacy_studio.scripts.switch("quiet", "disable")
    assert np.array_equal(pixels(drawn(legacy_studio).pictures[0]), pixels(plain))
