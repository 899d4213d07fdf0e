"""Values as A1111 writes them, and expressions."""

from __future__ import annotations

import pytest

from modules.contracts.errors import InvalidRequest
from modules.experiments.expressions import evaluate, evaluate_list
from modules.experiments.grammar import booleans_of, floats_of, integers_of, words_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1, 2,5", [1, 2, 5]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("1-5 (+2)", [1, 3, 5]),
        ("1-6(+2)", [1, 3, 5]),
        ("10-5 (-3)", [10, 7]),
        ("3-1", [3, 2, 1]),
        ("1-10 [5]", [1, 3, 5, 7, 10]),
        ("1-10[4], 20", [1, 4, 7, 10, 20]),
        ("7-9 [1]", [7]),
        ("-1", [-1]),
        ("-3--1", [-3, -2, -1]),
        ("= 2**n for n in 1..4", [2, 4, 8, 16]),
        ("= range(10, 30, 10)", [10, 20, 30]),
        ("= [5, 8]", [5, 8]),
    ],
)
def test_whole_numbers(text, values):
    assert integers_of(text, "Steps") == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1-0.5 (+0.1)", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("0-1 [3]", [0, 0.5, 1]),
        ("1 - 3", [1, 2, 3]),
        (".5, 7.", [0.5, 7]),
        ("= round(n / 3, 2) for n in [1, 2]", [0.33, 0.67]),
    ],
)
def test_numbers(text, values):
    assert floats_of(text, "CFG scale") == values


def test_words_may_hold_commas_and_quotes():
    assert words_of('a, "b, c", "say ""hi""", ') == ["a", "b, c", 'say "hi"', ""]


def test_truth_has_several_words():
    assert booleans_of("True, off, yes,0", "Tiling") == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a", "is no number"),
        ("1.5", "not whole"),
        ("1-5 (-1)", "never comes to its end"),
        ("1-5 (+0)", "never comes to its end"),
        ("1-5 [0]", "no values"),
        ("1-99999999", "too many"),
        ("0-1 (+0.000000001)", "too many"),
        ("nan", "not finite"),
        ("1-9 [999999999999]", "too many"),
        ("= open('x')", "calls 'open'"),
        ("= (1).__class__", "something other than"),
        ("= 10**400", "beyond"),
        ("= 9**60", "numbers up to"),
        ("= 1/0", "cannot be worked out"),
        ("= 1 +", "not written as one"),
        ("= range(0, 1e9)", "at most"),
        ("= n for n in m", "names 'm'"),
        ("= (-8)**0.5", "computes with"),
        ("= " + "(" * 900, "cannot be worked out"),
        ("= 'a' for n in 1..3", "is no number"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(text, part):
    with pytest.raises(InvalidRequest, match=".") as told:
        integers_of(text, "Steps")
    assert part in told.value.message


def test_conditions_are_over_the_names_they_are_given():
    named = {"steps": 30, "sampler": "Euler a"}
    assert evaluate("steps > 20 and sampler in ['Euler a', 'DDIM']", named) is True
    assert evaluate("not (10 < steps <= 30) or 'DPM' in sampler", named) is False
    with pytest.raises(InvalidRequest, match="may use are steps, sampler"):
        evaluate("cfg > 1", named)


def test_nothing_of_python_is_within_reach():
    for text in ("__import__('os')", "[n for n in steps]", "lambda: 1", "steps.real", "f'{steps}'", "{1: 2}", "b'x'"):
        with pytest.raises(InvalidRequest):
            evaluate_list(text)
