"""Infotext: the format itself, writing and reading."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.contracts.infotext import exact_prompts, parse, prompts_of, quote, to_request, unquote, write
from modules.contracts.request import GenerationRequest, ImageParams, parameters

A1111 = (
    "a cat, (sitting:1.2)\non a mat\n"
    "Negative prompt: blurry,\nlow quality\n"
    "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, Model hash: 6ce0161689, "
    'Model: v1-5-pruned-emaonly, Lora hashes: "one: 0123456789ab, two: ba9876543210", Version: v1.10.1'
)


def test_a_text_of_a1111_is_read():
    found = parse(A1111, defaults=False)
    assert found["Prompt"] == "a cat, (sitting:1.2)\non a mat"
    assert found["Negative prompt"] == "blurry,\nlow quality"
    assert found["Sampler"] == "DPM++ 2M Karras"
    assert (found["Size-1"], found["Size-2"]) == ("512", "768")
    assert "Size" not in found
    assert found["Lora hashes"] == "one: 0123456789ab, two: ba9876543210"
    assert found["Version"] == "v1.10.1"


def test_what_a1111_takes_for_granted_is_filled_in():
    found = parse(A1111)
    assert found["Clip skip"] == "1"
    assert found["Schedule type"] == "Automatic"
    assert found["Hires sampler"] == "Use same sampler"
    assert parse("p\nSteps: 1, Seed: 2, Clip skip: 2")["Clip skip"] == "2"


def test_the_layout_is_a1111s():
    text = write("p", "n", {"Steps": 20, "CFG scale": 7.0, "Size": "512x512", "Nothing": None, "Tiling": True})
    assert text == "p\nNegative prompt: n\nSteps: 20, CFG scale: 7, Size: 512x512, Tiling: True"
    assert write("p", "", {"Steps": 1}) == "p\nSteps: 1"
    assert write("", "", {"Steps": 1, "Only": "Only"}) == "Steps: 1, Only: Only"


LABELS = tuple(item.param.infotext for item in parameters() if item.param.infotext)


@given(
    label=st.sampled_from(LABELS),
    value=st.one_of(st.sampled_from(LABELS), st.text(min_size=1), st.sampled_from(["None", '"', "a: b", " x ", "\\"])),
)
@settings(max_examples=300, deadline=None)
def test_any_value_of_any_label_comes_back_also_one_that_is_its_own_label(label, value):
    for said in (value, label):
        fields = {"First": 1, "Second": 2, label: said, "Last": 3}
        if re.fullmatch(r"\d+x\d+", said) is None:  # a size is two values
            found = parse(write("p", "n", fields), defaults=False)
            assert found[label] == said
            assert (found["First"], found["Last"]) == ("1", "3")


def test_words_that_are_their_own_label_are_asked_for_again():
    words = [item for item in parameters() if item.annotation.startswith("str") and item.param.infotext]
    for item in words:
        if isinstance(item.param.choices, tuple) or item.path[0] == "hires":
            continue
        label = item.param.infotext
        text = write("p", "n", {"Steps": 3, "Seed": 1, label: label, "Size": "64x64"})
        asked, unknown = to_request(parse(text), GenerationRequest(image=ImageParams((b"x",))))
        assert unknown == ()
        assert getattr(getattr(asked, item.path[0]), item.path[1]) == label


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("a, b", '"a, b"'),
        ("a: b", '"a: b"'),
        ("a\nb", '"a\\nb"'),
        ('say "x", y', '"say \\"x\\", y"'),
        ("Grüße, 猫", '"Grüße, 猫"'),
        (7.0, "7"),
        (0.55, "0.55"),
    ],
)
def test_values_are_quoted_only_where_needed(value, written):
    assert quote(value) == written
    assert unquote(written) == (value if isinstance(value, str) else written)


def test_fewer_than_three_pairs_belong_to_the_prompt():
    assert parse("a clock, time: 10:30", defaults=False) == {"Prompt": "a clock, time: 10:30", "Negative prompt": ""}


def test_a_broken_quotation_is_left_as_it_is():
    found = parse('p\nSteps: 1, Seed: 2, Note: "bad \\x", Size: 8x8', defaults=False)
    assert found["Note"] == '"bad \\x"'


def test_old_texts_with_a_first_pass_size():
    found = parse("p\nSteps: 1, Seed: 2, Size: 1024x1024, First pass size: 512x512", defaults=False)
    assert (found["Size-1"], found["Hires resize-1"]) == ("512", "1024")


@pytest.mark.parametrize("text", ["", "\n\n", "Negative prompt:", ",,,", "a:" * 50, '"' * 99, "Steps: , Seed: , X y: "])
def test_nothing_makes_the_reader_throw(text):
    assert isinstance(parse(text)["Prompt"], str)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_read(text):
    assert isinstance(parse(text)["Prompt"], str)


@pytest.mark.parametrize(
    "line", ["a" * 400_000, "a " * 200_000, '"' * 400_000, "a:" * 200_000, 'ab:"' * 100_000, "-" * 400_000]
)
def test_a_hostile_line_is_read_in_linear_work(line):
    # Quadratic work would be some 10^11 steps here and would not end within the limit of a test.
    assert isinstance(parse(line)["Prompt"], str)


_keys = st.text("AbC3 -/", max_size=8).map(lambda middle: f"K{middle}z")
_values = st.one_of(
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(min_size=1, max_size=60),
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_keys, _values, min_size=3, max_size=8))
def test_every_value_comes_back(fields):
    fields = {key: value for key, value in fields.items() if str(value) != key}
    fields = {"First key": 1, "Second key": 2, "Third key": 3, **fields}
    found = parse(write("p", "", fields), defaults=False)
    for key, value in fields.items():
        if f"{key}-1" in found and f"{key}-2" in found:
            assert f"{found[key + '-1']}x{found[key + '-2']}" == value
        elif isinstance(value, float):
            assert float(found[key]) == value
        else:
            assert found[key] == str(value)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_prompts_come_back_exactly(prompt, negative):
    extra = exact_prompts(prompt, negative)
    found = parse(write(prompt, negative, {"Steps": 1, "Seed": 2, "CFG scale": 3, **extra}), defaults=False)
    assert prompts_of(found) == (prompt, negative)


def test_ordinary_prompts_need_no_extra_key():
    assert exact_prompts("a cat\n\non a mat, 10:30", 'say "no": never') == {}
    assert set(exact_prompts("a\nNegative prompt: b", "")) == {"Exact prompt", "Exact negative prompt"}
