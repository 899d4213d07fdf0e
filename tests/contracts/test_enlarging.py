"""Sizes, costs and words of jobs that make pictures larger, without any engine."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modules.call_queue.estimates import measure
from modules.contracts.codec import decode, encode
from modules.contracts.cost import is_sized, largest_of, model_of, pictures_of, work_of
from modules.contracts.enlarging import EnlargeParams, plan_enlarged, png_size
from modules.contracts.infotext import parse, to_request
from modules.contracts.infotext_enlarged import add_to_infotext, enlarged_fields
from modules.contracts.request import GenerationRequest, PromptParams
from modules.contracts.result import GenerationResult, Picture


def png(width, height, mode="1"):
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


SIDE = st.integers(1, 3000)


@given(SIDE, SIDE, st.integers(0, 3000), st.integers(0, 3000), st.floats(0.001, 16), st.booleans())
def test_what_is_cut_out_lies_within_what_was_made(width, height, wide, high, scale, crop):
    size = plan_enlarged((width, height), EnlargeParams(scale=scale, width=wide, height=high, crop=crop))
    left, top, right, bottom = size.box
    assert left >= 0
    assert top >= 0
    assert right <= size.whole[0]
    assert bottom <= size.whole[1]
    assert size.whole[0] >= wide
    assert size.whole[1] >= high
    assert size.final == ((wide, high) if crop and wide and high else size.whole)


def test_the_size_of_a_png_is_in_its_head():
    assert png_size(png(300, 200)) == (300, 200)
    for other in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"x" * 30, png(3, 4)[:20]):
        assert png_size(other) is None


def test_a_job_costs_what_comes_out_for_each_upscaler():
    one = GenerationRequest(enlarge=EnlargeParams((png(1000, 500), png(10, 10)), scale=2.0))
    assert work_of(one) == pytest.approx(2.0004)
    assert (pictures_of(one), largest_of(one), model_of(one), is_sized(one)) == (2, 2_000_000, "Lanczos", True)
    cut = GenerationRequest(enlarge=EnlargeParams((png(1000, 500),), upscaler="net", second="x", second_share=0.5,
                                                  width=100, height=100))  # fmt: skip
    assert work_of(cut) == pytest.approx(2 * 200 * 100 / 1e6)
    assert (largest_of(cut), model_of(cut)) == (10_000, "net")


def test_the_time_that_it_took_is_learnt_when_all_pictures_came():
    asked = GenerationRequest(enlarge=EnlargeParams((png(100, 100),) * 2))
    picture = Picture(0, Image.new("1", (200, 200)), 0, 0, "", "", "", {})
    assert measure(asked, GenerationResult((picture,), {}), 1.0, 1) is None
    learnt = measure(asked, GenerationResult((picture, picture), {}), 1.0, 3)
    assert (learnt.work, learnt.company, learnt.native) == (pytest.approx(0.08), 3, None)


def test_it_is_stored_and_read_again():
    asked = GenerationRequest(enlarge=EnlargeParams((png(8, 8),), ("a cat",), "net", "x", 0.5, 3.0, 7, 9, False))
    assert decode(GenerationRequest, encode(asked)) == asked
    assert decode(GenerationRequest, {k: v for k, v in encode(GenerationRequest()).items() if k != "enlarge"})


def test_a_larger_picture_still_says_how_it_was_drawn():
    """And what was done to it afterwards does not stand in the way of drawing it again."""
    drawn = "a cat\nNegative prompt: a dog\nSteps: 3, Seed: 4, Size: 20x10"
    for wish in (EnlargeParams(upscaler="a, b"), EnlargeParams(width=8, height=9, second="x", second_share=0.25)):
        text = add_to_infotext(drawn, enlarged_fields(wish))
        asked, unknown = to_request(parse(text), GenerationRequest(prompt=PromptParams("x")))
        assert unknown == () or list(unknown) == []
        assert (asked.prompt.text, asked.prompt.negative, asked.seeds.seed) == ("a cat", "a dog", 4)
        assert parse(text)["Postprocess upscaler"] == wish.upscaler
