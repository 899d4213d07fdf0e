"""Extensions that give each picture words of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modules.contracts.request import CanvasParams, PromptParams, SeedParams
from tests.compat.conftest import PLAIN, pixels

pytestmark = pytest.mark.filterwarnings("ignore")


def test_dynamic_prompts_draws_every_combination_in_one_job(tried):
    studio = tried("sd-dynamic-prompts")
    title = next(
        script.title
        for one in studio.studio.scripts.entries()
        if one.name == studio.name
        for script in one.scripts
        if script.title.startswith("Dynamic Prompts v")
    )
    # The studio reads {a|b} itself; here the extension has read it before.
    wish = PromptParams("a {red|blue} {circle|square}")
    request = replace(PLAIN, prompt=wish, canvas=CanvasParams(64, 64, batch_size=2))
    pictures = studio.draw(title, request, combinatorial_generation=True)
    words = ["a red circle", "a red square", "a blue circle", "a blue square"]
    assert [one.prompt for one in pictures] == words
    assert [one.seed for one in pictures] == [3, 4, 5, 6]
    goal = studio.draw(request=replace(PLAIN, prompt=PromptParams(words[3]), seeds=SeedParams(6)))[0]
    assert np.array_equal(pixels(pictures[3]), pixels(goal))
    assert pictures[3].infotext.startswith("a blue square\n")


def test_simple_wildcards_puts_a_line_of_the_file_in_the_place_of_its_name(tried):
    studio = tried("stable-diffusion-webui-wildcards")
    folder = studio.studio.paths.data.parent / "extensions" / studio.name / "wildcards"
    folder.mkdir(exist_ok=True)
    (folder / "shape.txt").write_text("square\nsquare\n", "utf-8")
    picture = studio.draw(request=replace(PLAIN, prompt=PromptParams("a blue __shape__")))[0]
    goal = studio.draw(request=replace(PLAIN, prompt=PromptParams("a blue square")))[0]
    assert picture.prompt == "a blue square"
    assert np.array_equal(pixels(picture), pixels(goal))
    assert picture.infotext.startswith("a blue square\n")
    assert "Wildcard prompt: a blue __shape__" in picture.infotext
