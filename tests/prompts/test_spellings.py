"""Tokens of known words: the same as the tokenizer's own for any text, asked for once."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from modules.prompts import spellings as spellings_module
from modules.prompts.spellings import Spellings, reads_words_apart
from modules.prompts.tokens import Tokenizers
from modules.support.paths import ROOT

CONFIGS = ROOT / "configs" / "model-configs"


class Holder:
    """A tokenizer of transformers as far as it matters here."""

    def __init__(self, backend):
        self.backend_tokenizer = backend


class Counting:
    """A backend that remembers what it was asked."""

    def __init__(self, backend):
        self._backend, self.asked = backend, []

    def encode(self, text, **named):
        self.asked.append(text)
        return self._backend.encode(text, **named)


@pytest.fixture(scope="module")
def clip():
    return Tokenizers(CONFIGS).of(None).tokenizer


@pytest.fixture(scope="module")
def lasting():
    return Spellings()


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab,.'1 \n\t éßあ́ \x1c🦊(s", max_size=40) | st.text(max_size=30))
@example("a  b ")
@example("don't 12 <|endoftext|> Ünïcode")
def test_any_text_has_the_tokens_that_the_tokenizer_gives(clip, lasting, text):
    wanted = clip.encode(text, add_special_tokens=False).ids
    assert lasting.ids(text, clip) == wanted
    assert Spellings().ids(text, clip) == wanted


def test_words_are_asked_for_once_and_all_new_ones_together(clip):
    counting, known = Counting(clip), Spellings()
    known.ids("a red cat and a red dog", counting)
    known.ids("a red dog and a blue cat", counting)
    known.ids("blue dog", counting)
    assert counting.asked == ["a red cat and dog", "blue"]


def test_not_more_is_kept_than_there_is_room_for(clip, monkeypatch):
    monkeypatch.setattr(spellings_module, "MOST", 3)
    known = Spellings()
    for text in ("a b c d e", "f g", "h i", "x" * 500):
        assert known.ids(text, clip) == clip.encode(text, add_special_tokens=False).ids
        assert len(known._known) <= 3


def test_only_tokenizers_for_which_every_space_is_a_border_are_read_so(clip):
    assert reads_words_apart(Holder(clip))
    assert not reads_words_apart(None)
    state = json.loads(clip.to_str())
    state["added_tokens"] = [
        {"id": 49408, "content": "two words", "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
    ]
    assert not reads_words_apart(Holder(Tokenizer.from_str(json.dumps(state))))
    state["added_tokens"] = []
    state["model"]["end_of_word_suffix"] = None
    assert not reads_words_apart(Holder(Tokenizer.from_str(json.dumps(state))))
