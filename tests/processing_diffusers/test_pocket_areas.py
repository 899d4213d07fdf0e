"""Prompts for areas, seen in pictures of the model that ships: each thing is in its place and in its colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from modules.contracts.detailer import RegionParams
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.request import HiresParams, ImageParams, InpaintParams, PromptParams, SamplingParams
from modules.contracts.run import RunContext
from modules.contracts.tiles import TileParams
from modules.processing_diffusers.stages import encode as encode_stage
from modules.prompts.areas import lay_out
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import ask, encode

RED, BLUE = "a red circle on a white background", "a blue square on a white background"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


def draw(engine, words, areas, *, seed=1, scale=4.0, size=256, steps=10, **groups):
    prompt = PromptParams(words, "", areas=areas)
    sampling = SamplingParams(steps, "Euler", cfg_scale=scale)
    request = ask(prompt=prompt, size=size, seed=seed, sampling=sampling, **groups)
    return np.asarray(engine.generate(request, RunContext("job", lambda event: None)).pictures[0].image).astype(int)


def shares(picture):
    """How much of the left and of the right half is red, and how much is blue."""
    red, blue = picture[..., 0] - picture[..., 2] > 80, picture[..., 2] - picture[..., 0] > 60
    middle = picture.shape[1] // 2
    return [part.mean() for colour in (red, blue) for part in (colour[:, :middle], colour[:, middle:])]


def test_the_left_thing_is_left_and_the_right_one_right_and_their_colours_do_not_mix(engine):
    red_left, red_right, blue_left, blue_right = shares(draw(engine, f"{RED} AND {BLUE}", "columns 1:1"))
    assert red_left > 0.1
    assert blue_right > 0.03
    assert red_right < 0.01
    assert blue_left < 0.01
    red_left, red_right, blue_left, blue_right = shares(draw(engine, f"{BLUE} AND {RED}", "columns 1:1"))
    assert red_right > 0.1
    assert blue_left > 0.03
    assert red_left < 0.01
    assert blue_right < 0.01


def test_rows_rectangles_and_a_prompt_for_the_whole(engine):
    picture = draw(engine, f"a white background AND {RED} AND {BLUE}", "0 0 1 0.5, 0 0.5 1 1")
    red_above, red_below, blue_above, blue_below = shares(picture.transpose(1, 0, 2))
    assert red_above > 0.1
    assert blue_below > 0.03
    assert red_below < 0.01
    assert blue_above < 0.01


def test_one_prompt_in_all_areas_is_that_prompt(engine):
    for scale in (4.0, 1.0):
        plain = draw(engine, RED, "", size=64, steps=2, scale=scale)
        split = draw(engine, f"{RED} AND {RED}", "columns 1:2", size=64, steps=2, scale=scale)
        assert abs(split - plain).max() <= 1


def test_areas_do_not_lie_over_a_detail(engine, monkeypatch):
    """A detail is a part of the picture; what is drawn there is joined everywhere."""
    seen = []
    monkeypatch.setattr(encode_stage, "lay_out", lambda areas, count: seen.append(areas) or lay_out(areas, count))
    detail = RegionParams(detector="Colour", classes="red", confidence=0.1)
    draw(engine, f"{RED} AND {BLUE}", "columns 1:1", regions=detail, steps=6)
    whole, after = len(seen), draw(engine, f"{RED} AND {BLUE}", "columns 1:1", steps=6)
    assert len(seen) == whole + 1
    assert whole == 1
    assert after.shape == (256, 256, 3)


def test_what_does_not_go_together_is_refused(engine):
    picture = encode(Image.new("RGB", (64, 64)))
    refused = [
        ("columns 1:1", {}, InvalidRequest, "2 prompt areas and 3 prompts|as many are needed"),
        ("columns 1:1:1", {"tiles": TileParams(method="MultiDiffusion")}, UnsupportedFeature, "tiled diffusion"),
        (
            "columns 1:1:1",
            {"image": ImageParams((picture,)), "inpaint": InpaintParams(mask=picture)},
            UnsupportedFeature,
            "Only masked",
        ),
    ]
    for areas, groups, error, sentence in refused:
        words = "a AND b AND c AND d" if not groups else "a AND b AND c"
        with pytest.raises(error, match=sentence):
            draw(engine, words, areas, size=64, steps=1, **groups)


def test_a_picture_whose_choice_joins_nothing_is_drawn_without_areas_and_says_so(engine):
    request = ask(
        prompt=PromptParams("{a red circle|a red circle}", "", areas="columns 1:1"), size=64, sampling=SamplingParams(2)
    )
    result = engine.generate(request, RunContext("job", lambda event: None))
    assert "Picture 1 was drawn without prompt areas: its prompt has no AND." in result.notes
    plain = engine.generate(
        replace(request, prompt=PromptParams("a red circle", "")), RunContext("job", lambda event: None)
    )
    assert np.array_equal(np.asarray(result.pictures[0].image), np.asarray(plain.pictures[0].image))
    assert not any("areas" in note for note in plain.notes)


@pytest.mark.parametrize(("words", "refused"), [("a AND b AND c AND d", True), ("a AND b", False), ("a", False)])
def test_a_second_pass_has_as_many_prompts_as_areas_or_one(engine, words, refused):
    hires = HiresParams(enabled=True, scale=2, steps=1, prompt=words)
    request = ask(prompt=PromptParams("a AND b", "", areas="columns 1:1"), size=64, hires=hires)
    if refused:
        with pytest.raises(InvalidRequest, match="2 prompt areas and 4 prompts"):
            engine.resolve(request)
    else:
        assert engine.resolve(request).pictures
