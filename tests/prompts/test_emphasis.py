"""Brackets and BREAK into weighted spans, as A1111 reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts.prompting import EMPHASIS_MODES
from modules.prompts.emphasis import Span, is_weighted, parse_emphasis, plain_text

UP, DOWN = 1.1, 1 / 1.1


def spans(text, mode="Original"):
    return [(span.text, pytest.approx(span.weight)) for span in parse_emphasis(text, mode)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", [("", 1)]),
        ("a cat", [("a cat", 1)]),
        ("a (cat)", [("a ", 1), ("cat", UP)]),
        ("((cat))", [("cat", UP * UP)]),
        ("[cat]", [("cat", DOWN)]),
        ("(cat:1.5) dog", [("cat", 1.5), (" dog", 1)]),
        ("(a (b:2) c:1.5)", [("a ", 1.5), ("b", 3), (" c", 1.5)]),
        ("([a])", [("a", UP * DOWN)]),
        ("(cat: -0.5 )", [("cat", -0.5)]),
        ("(cat:.5)", [("cat", 0.5)]),
        ("[cat:1.5]", [("cat:1.5", DOWN)]),
        ("(cat:one)", [("cat:one", UP)]),
        ("a:1.5)", [("a:1.5)", 1)]),
        (r"\(a\) \[b\] \\", [("(a) [b] \\", 1)]),
        (r"(a\))", [("a)", UP)]),
        (r"\{a\}", [("{a}", 1)]),
        ("((a", [("a", UP * UP)]),
        ("[a (b", [("a ", DOWN), ("b", DOWN * UP)]),
        ("a) b]", [("a) b]", 1)]),
        ("a BREAK b", [("a", 1), (None, 1), ("b", 1)]),
        ("BREAKS break", [("BREAKS break", 1)]),
        ("(a BREAK b:1.3)", [("a", 1.3), (None, 1), ("b", 1.3)]),
    ],
)
def test_each_form_of_emphasis(text, wanted):
    assert spans(text) == wanted


def test_modes():
    assert spans("a (b) BREAK c", "Ignore") == [("a b", 1), (None, 1), ("c", 1)]
    assert spans("a (b) BREAK c", "None") == [("a (b) BREAK c", 1)]
    assert spans("(a:2)", "No norm") == [("a", 2)]


def test_words_alone_for_encoders_that_take_no_weights():
    assert plain_text(r"a (red:1.4) [cat] BREAK \(x\)") == "a red cat (x)"
    assert is_weighted("(a)")
    assert not is_weighted("a (b:1.0) \\(c\\)")


@given(st.text(alphabet="ab ()[]:.1\\BREAK\n", max_size=60), st.sampled_from(EMPHASIS_MODES))
def test_any_text_can_be_read_and_loses_no_word(text, mode):
    found = parse_emphasis(text, mode)
    assert found
    assert all(isinstance(span, Span) for span in found)
    kept = "".join(span.text or "" for span in found)
    assert [letter for letter in text if letter in "ab"] == [letter for letter in kept if letter in "ab"]


def test_a_hundred_thousand_brackets_are_read_at_once():
    assert len(parse_emphasis("(" * 3000 + "a", "Original")) == 1
    assert len(parse_emphasis("\\(" * 50_000, "Original")) == 1
