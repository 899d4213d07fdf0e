"""From a request's prompts to a picture's words: order, tags, comments, AND, encoders of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts.errors import InvalidRequest
from modules.contracts.networks import NetworkTag
from modules.contracts.prompts import Style
from modules.contracts.request import GenerationRequest, HiresParams, PromptParams
from modules.prompts.comments import strip_comments
from modules.prompts.composition import split_composition
from modules.prompts.tags import take_tags
from modules.prompts.timeline import Pace, said_at
from modules.prompts.words import Resolver, Sources, tell_screenplay

STYLES = {"oil": Style("oil", "# note\noil of {prompt}", "photo"), "draw": Style("draw", "{prompt} {x|y}", "{x|y}")}
LINES = {"animal": ("cat", "dog")}


def find_styles(names):
    return tuple(STYLES[name] for name in names if name in STYLES), tuple(name for name in names if name not in STYLES)


def resolve(prompt, seed=1, hires=None, comments=True, notes=None):
    request = GenerationRequest(prompt=prompt, hires=hires or HiresParams())
    sources = Sources(find_styles, lambda name: LINES.get(name), comments)
    return Resolver(request, sources, [] if notes is None else notes).resolve(seed)


@pytest.mark.parametrize(
    ("text", "words", "tags"),
    [
        ("a <lora:x:0.8> b", "a  b", [NetworkTag("lora", "x", ("0.8",))]),
        ("<lora:x>", "", [NetworkTag("lora", "x")]),
        (
            "<LoRA:my file:0.5:0.7:dyn=8:te=0.1>a",
            "a",
            [NetworkTag("lora", "my file", ("0.5", "0.7"), (("dyn", "8"), ("te", "0.1")))],
        ),
        (
            "<hypernet:h:1><lyco:l::0.5>",
            "",
            [NetworkTag("hypernet", "h", ("1",)), NetworkTag("lyco", "l", ("", "0.5"))],
        ),
        ("a < b > c, 1 <2:", "a < b > c, 1 <2:", []),
    ],
)
def test_tags(text, words, tags):
    assert take_tags(text) == (words, tuple(tags))


def test_arguments_of_a_tag():
    tag = take_tags("<lora:x::0.5:te=1:te=2>")[1][0]
    assert (tag.argument("te", 0), tag.argument("unet", 0), tag.argument("unet", 1), tag.argument("dyn", 5)) == (
        "2",
        None,
        "0.5",
        None,
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a # b\nc", "a\nc"),
        ("# all\na", "a"),
        ("a\n  # b\nc", "a\nc"),
        (r"a \# b", r"a \# b"),
        ("a", "a"),
        ("#", ""),
    ],
)
def test_comments(text, wanted):
    assert strip_comments(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a cat", [("a cat", 1)]),
        ("a cat :1.2 AND a dog: -0.5", [("a cat ", 1.2), (" a dog", -0.5)]),
        ("aANDb and c", [("aANDb and c", 1)]),
        ("a AND", [("a ", 1), ("", 1)]),
        ("(a:1.2) AND b:2", [("(a:1.2) ", 1), (" b", 2)]),
    ],
)
def test_composition(text, wanted):
    assert list(split_composition(text)) == wanted


def test_too_many_prompts_in_one():
    with pytest.raises(InvalidRequest, match="65 prompts"):
        split_composition(" AND ".join("a" * 65))


def test_styles_comments_and_choices_in_that_order():
    said = resolve(PromptParams("a __animal__", "{bad|worse}", styles=("oil", "draw")), seed=4)
    assert said.prompt.startswith("oil of a ")
    assert said.prompt.split()[3] in ("cat", "dog")
    assert "#" not in said.prompt
    assert said.prompt.rsplit(" ", 1)[1] in "xy"
    assert said.negative in {f"{bad}, photo, {x}" for bad in ("bad", "worse") for x in "xy"}
    assert said.words.template == "oil of a __animal__ {x|y}"
    assert said.words.negative_template == "{bad|worse}, photo, {x|y}"


def test_pictures_differ_by_their_seeds_and_repeat_by_them():
    prompts = [resolve(PromptParams("{a|b|c|d|e|f}"), seed).prompt for seed in range(30)]
    assert len(set(prompts)) > 4
    assert prompts == [resolve(PromptParams("{a|b|c|d|e|f}"), seed).prompt for seed in range(30)]


def test_what_is_missing_is_told_once():
    notes = []
    said = resolve(PromptParams("__nope__", "__nope__", styles=("gone",)), notes=notes)
    assert said.prompt == "__nope__"
    assert notes == [
        "There is no style 'gone'; it was left out.",
        "There is no wildcard 'nope'; it stands in the prompt as it was written.",
    ]


def test_the_second_pass_has_words_and_tags_of_its_own():
    said = resolve(PromptParams("a <lora:x:1>"), hires=HiresParams(True, prompt="b <lora:y:1> {c|d}", negative="n"))
    assert [tag.name for tag in said.networks] == ["x"]
    assert [tag.name for tag in said.hires_networks] == ["y"]
    assert said.words.hires_prompt in ("b <lora:y:1> c", "b <lora:y:1> d")
    assert said.words.hires_negative == "n"
    same = resolve(PromptParams("a <lora:x:1>"), hires=HiresParams(True))
    assert same.hires_networks == same.networks
    off = resolve(PromptParams("a"), hires=HiresParams(False, prompt="b"))
    assert off.words.hires_prompt == ""


@given(
    st.text(alphabet="ab{}|_:1#\\\n ,", max_size=40),
    st.text(alphabet="ab{}|#", max_size=10),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_words_that_were_resolved_resolve_to_themselves(text, negative, seed, comments):
    once = resolve(PromptParams(text, negative), seed, comments=comments)
    again = resolve(PromptParams(once.prompt, once.negative), seed + 1, comments=comments)
    assert (again.prompt, again.negative) == (once.prompt, once.negative)
    assert (again.words.template, again.words.negative_template) == ("", "")


def test_a_screenplay_joins_what_changes_and_what_is_composed():
    play = tell_screenplay(("[a:b:3] <lora:x:1>:2 AND c", "", "[t:u:5]"), ("bad", "", ""), Pace(8))
    (first, weight), (second, other) = play.parts
    assert (weight, other) == (2.0, 1.0)
    assert [said_at(first.entries, step) for step in (1, 3, 4, 5, 6, 8)] == [
        ("a ", "a ", "t"),
        ("a ", "a ", "t"),
        ("b ", "b ", "t"),
        ("b ", "b ", "t"),
        ("b ", "b ", "u"),
        ("b ", "b ", "u"),
    ]
    assert said_at(second.entries, 8) == (" c", " c", "u")
    assert play.negative.texts == (("bad", "bad", "bad"),)
    assert play.composed
    assert not play.still
    plain = tell_screenplay(("a",), ("",), Pace(8))
    assert plain.still
    assert not plain.composed
