"""`[from:to:when]` and `[a|b]`: what a prompt says at which step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts.errors import InvalidRequest
from modules.prompts.timeline import Pace, said_at, tell_timeline

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


def heard(text, calls, pace=None):
    """What each model call of a pass hears, in order."""
    told = tell_timeline(text, pace or Pace(calls))
    return [said_at(told, count) for count in range(calls)]


@pytest.mark.parametrize(
    ("text", "calls", "wanted"),
    [
        # A1111's counter is 0 at the first call and a text holds while it is not above the number, so one call longer.
        ("[a:b:1]", 4, "aabb"),
        ("[a:b:2]", 5, "aaabb"),
        ("[a:b:0.5]", 6, "aaaabb"),
        ("[a:b:0]", 3, "bbb"),
        ("[a:b:0.1]", 5, "bbbbb"),
        ("[a:b:4]", 5, "aaaaa"),
        ("[a|b|c]", 7, "aabcabc"),
        ("[a|b]", 5, "aabab"),
        ("[[a:b:2]:c:4]", 7, "aaabbcc"),
        ("[[a|b]:c:3]", 6, "aabacc"),
        ("[[a:b:2]|c]", 5, "aacbc"),
    ],
)
def test_each_call_hears_what_it_hears_in_a1111(text, calls, wanted):
    assert "".join(heard(text, calls)) == wanted


def test_calls_beyond_those_that_were_counted_on_hear_the_first_text():
    assert "".join(heard("[a:b:2]", 7, Pace(4))) == "aaabbaa"


def test_half_of_a_second_order_sampler_is_half_of_its_calls_and_a_number_is_a_number_of_calls():
    assert "".join(heard("[a:b:0.5]", 9, Pace(10))) == "aaaaaabbb"
    assert "".join(heard("[a:b:3]", 9, Pace(10))) == "aaaabbbbb"


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
