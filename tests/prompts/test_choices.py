"""Choices and wildcards: drawn from a seed, the same everywhere, and never drawn twice."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts.errors import InvalidRequest
from modules.prompts.choices import draw_choices
from modules.prompts.wildcards import Wildcards


def lines_of(**lines):
    return lambda name: lines.get(name.replace("/", "_"))


def draw(text, seed=1, **lines):
    return draw_choices(text, seed, lines_of(**lines)).text


def test_a_choice_is_one_of_its_options_and_the_seed_says_which():
    drawn = [draw("a {red|green|blue} cat", seed) for seed in range(60)]
    assert set(drawn) == {"a red cat", "a green cat", "a blue cat"}
    assert drawn == [draw("a {red|green|blue} cat", seed) for seed in range(60)]


def test_the_draws_of_a_seed_are_fixed_for_ever():
    # Pictures are drawn again from templates that are years old: these may never change.
    assert [draw("{a|b|c|d}{a|b|c|d}", seed) for seed in range(4)] == ["cb", "ca", "ad", "ad"]


@pytest.mark.parametrize("text", ["{a|b::3}", "{a|3::b}"])
def test_weights(text):
    counted = Counter(draw(text, seed) for seed in range(2000))
    assert counted["b"] / counted["a"] == pytest.approx(3, rel=0.25)
    assert {draw("{a::0|b}", seed) for seed in range(20)} == {"b"}


def test_several_at_once():
    assert {len(draw("{2$$a|b|c}", seed).split(", ")) for seed in range(20)} == {2}
    assert {len(draw("{1-3$$ and $$a|b|c}", seed).split(" and ")) for seed in range(40)} == {1, 2, 3}
    assert sorted(draw("{9$$a|b|c}").split(", ")) == ["a", "b", "c"]


def test_nested_choices_wildcards_and_other_syntax():
    drawn = {draw("{a {b|c}|__d__}", seed, d=("{e|f}", "g")) for seed in range(80)}
    assert drawn == {"a b", "a c", "e", "f", "g"}
    assert {draw("{[x|y]|(z:1.2)}", seed) for seed in range(40)} == {"[x|y]", "(z:1.2)"}
    assert {draw("{[x::0.5]|b}", seed) for seed in range(40)} == {"[x::0.5]", "b"}
    assert {draw("__a/b__ __c_d__", a_b=("1",), c_d=("2",))} == {"1 2"}


@pytest.mark.parametrize("text", ["{a}", '{"scene": "x"}', "{", "}", "a_b", "__x", r"\{a|b\}", "{prompt}", "{a {b} c}"])
def test_what_is_no_choice_stays_as_it_is(text):
    assert draw(text) == text


def test_a_wildcard_that_is_not_there_stays_and_is_told():
    drawn = draw_choices("a __nope__ b __nope__", 1, lines_of())
    assert (drawn.text, drawn.unknown) == ("a __nope__ b __nope__", ("nope",))


def test_wildcards_that_name_each_other_end_in_a_sentence():
    with pytest.raises(InvalidRequest, match="50 deep"):
        draw("__a__", a=("x __a__",))
    with pytest.raises(InvalidRequest, match=r"choices|grows"):
        draw("__a__", a=("__b__ __b__ __b__ __b__",), b=("__c__ " * 50,), c=("__d__ " * 50,), d=("e{1|2}" * 50,))
    with pytest.raises(InvalidRequest, match="50 deep"):
        draw("{a::0|" * 60 + "b" + "}" * 60)


@given(st.text(alphabet="ab{}|_$:2\\[] ", max_size=40), st.integers(0, 2**32 - 1))
def test_what_was_drawn_is_not_drawn_again(text, seed):
    lines = lines_of(a=("b", "{a|b}"), b=("a|", "{"))
    once = draw_choices(text, seed, lines).text
    assert draw_choices(once, seed + 1, lines).text == once


def test_a_folder_of_wildcards(tmp_path):
    (tmp_path / "wild" / "colours").mkdir(parents=True)
    (tmp_path / "wild" / "Animals.txt").write_text("# beasts\ncat # sly\n\n dog \n", "utf-8")
    (tmp_path / "wild" / "colours" / "warm.txt").write_text("red\n", "utf-8")
    (tmp_path / "wild" / "colours" / "cold.txt").write_text("blue\n", "utf-8")
    (tmp_path / "secret.txt").write_text("key\n", "utf-8")
    (tmp_path / "wild" / "leak.txt").symlink_to(tmp_path / "secret.txt")
    wild = Wildcards(tmp_path / "wild")
    assert wild.names() == ("animals", "colours/cold", "colours/warm")
    assert wild.lines("animals") == wild.lines("ANIMALS") == ("cat", "dog")
    assert wild.lines("colours/*") == ("blue", "red")
    for name in ("../secret", "leak", "/etc/passwd", "..", "a//b", "colours/../animals", "", ".hidden"):
        assert wild.lines(name) is None
    assert Wildcards(tmp_path / "none").lines("animals") is None
    assert Wildcards(None).names() == ()


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n", "utf-8")
    wild = Wildcards(tmp_path)
    assert wild.lines("a") == ("one",)
    path.write_text("two\n", "utf-8")
    os.utime(path, ns=(1, 1))
    assert wild.lines("a") == ("two",)


def test_lists_of_yaml_files_are_called_by_their_keys(tmp_path):
    (tmp_path / "many.yaml").write_text(
        "animals:\n  Pets:\n    - cat\n    - '3::dog'\n  wild: [fox]\n  'a b': single\nyears: [1999, 2000]\n", "utf-8"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.yml").write_text("animals: {birds: [owl], pets: [late]}\n'../out': [x]\n", "utf-8")
    (tmp_path / "years.txt").write_text("1888\n", "utf-8")
    wild = Wildcards(tmp_path)
    assert wild.names() == ("animals/a b", "animals/birds", "animals/pets", "animals/wild", "years")
    assert wild.lines("animals/pets") == ("cat", "3::dog")
    assert wild.lines("animals/*") == ("single", "owl", "cat", "3::dog", "fox")
    assert wild.lines("years") == ("1888",)
    assert wild.lines("many") is None
    assert draw_choices("a __animals/wild__", 1, wild.lines).text == "a fox"


@pytest.mark.parametrize(
    "text", ["a: [", "a: &x [b]\nc: *x\n", "a: !!python/object/apply:os.system [ls]", "- a\n- b", "", "a: {}", "\x00"]
)
def test_yaml_that_makes_no_sense_gives_no_choices(tmp_path, text):
    (tmp_path / "odd.yaml").write_text(text, "utf-8")
    (tmp_path / "good.yaml").write_text("b: [c]", "utf-8")
    assert Wildcards(tmp_path).names() == ("b",)
