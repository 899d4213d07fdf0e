"""`[from:to:when]` and `[a|b]`: what a prompt says at which step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts.errors import InvalidRequest
from modules.prompts.timeline import Pace, tell_timeline, text_at

TEN = Pace(10)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3 ]", [(3, "a "), (10, "a b")]),
        ("a [b::3]", [(3, "a b"), (10, "a ")]),
        ("a [b:c:3] d", [(3, "a b d"), (10, "a c d")]),
        ("[a:b:0.25]", [(2, "a"), (10, "b")]),
        ("[a:b:1]", [(1, "a"), (10, "b")]),
        ("[a:b:1.0]", [(10, "a")]),
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:-2]", [(10, "b")]),
        ("[a:b:99]", [(10, "a")]),
        ("[[a:b:3]:c:7]", [(3, "a"), (7, "b"), (10, "c")]),
        ("[a:[b:c:7]:3]", [(3, "a"), (7, "b"), (10, "c")]),
        ("[a:5] [c:5]", [(5, " "), (10, "a c")]),
        ("[(a:1.2):b:5]", [(5, "(a:1.2)"), (10, "b")]),
        ("([a:b:5]:1.2)", [(5, "(a:1.2)"), (10, "(b:1.2)")]),
        ("[a]", [(10, "[a]")]),
        ("[a:b]", [(10, "[a:b]")]),
        ("[a:[b:c:5]]", [(5, "[a:b]"), (10, "[a:c]")]),
        ("a: [b:c:5]", [(5, "a: b"), (10, "a: c")]),
        ("([a:b:5]", [(5, "(a"), (10, "(b")]),
        ("[a:b:5])", [(5, "a)"), (10, "b)")]),
        ("[(a:b:5]", [(10, "[(a:b:5]")]),
        (r"[a\:b:c:5]", [(5, r"a\:b"), (10, "c")]),
        ("[a:b:5] | c", [(10, "[a:b:5] | c")]),
        ("[a:b:5] (c|d)", [(10, "[a:b:5] (c|d)")]),
        ("[a:b:5]\\", [(10, "[a:b:5]\\")]),
    ],
)
def test_each_form_of_a_schedule(text, wanted):
    assert list(tell_timeline(text, TEN)) == wanted


def test_alternation_goes_on_with_every_step():
    told = tell_timeline("[a|b|c] x", Pace(7))
    assert [text_at(told, step)[0] for step in range(1, 8)] == list("abcabca")
    told = tell_timeline("[a|] x", Pace(4))
    assert [text_at(told, step) for step in range(1, 5)] == ["a x", " x", "a x", " x"]
    told = tell_timeline("[[a|b]:c:3]", Pace(5))
    assert [text_at(told, step) for step in range(1, 6)] == ["a", "b", "a", "c", "c"]
    told = tell_timeline("[[a:b:2]|c]", Pace(4))
    assert [text_at(told, step) for step in range(1, 5)] == ["a", "c", "b", "c"]


def test_the_second_pass_goes_on_counting():
    second = Pace(8, before=20)
    assert list(tell_timeline("[a:b:22]", second)) == [(2, "a"), (8, "b")]
    assert list(tell_timeline("[a:b:1.5]", second)) == [(4, "a"), (8, "b")]
    assert list(tell_timeline("[a:b:0.5]", second)) == [(8, "b")]
    assert list(tell_timeline("[a:b:5]", second)) == [(8, "b")]


@given(st.text(alphabet="ab[]():|\\.5 0", max_size=40), st.integers(1, 30))
def test_any_text_says_something_at_every_step(text, steps):
    told = tell_timeline(text, Pace(steps))
    assert told[-1][0] == steps
    assert [last for last, _ in told] == sorted({last for last, _ in told})
    if "[" not in text:
        assert told == ((steps, text),)


def test_a_text_made_to_be_slow_is_not():
    assert tell_timeline("[" * 50_000 + "a" + "]" * 50_000, TEN)[0][0] == 10
    deep = "[" * 200 + "a" + "|b]" * 200
    assert tell_timeline(deep, TEN) == ((10, deep),)
    with pytest.raises(InvalidRequest, match="changes at 1000 steps"):
        tell_timeline("[a|b]" * 2000, Pace(1000))
