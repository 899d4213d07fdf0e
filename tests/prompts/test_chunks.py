"""Tokens into pieces: lengths, commas, breaks; and counting them without a model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import BrokenModel
from modules.prompts.book import PromptBook
from modules.prompts.chunks import Ruler, cut_pieces
from modules.prompts.emphasis import Span
from modules.prompts.tokens import Tokenizers
from modules.support.paths import ROOT
from tests.factories.words import save_clip_tokenizer

COMMA, BEGIN, END, PAD = 9, 100, 101, 102
RULER = Ruler(room=6, end=END, pad=PAD, begin=BEGIN, comma=COMMA)


def numbers(text):
    return [int(word) for word in text.split()]


def texts(spans, backtrack=20, ruler=RULER):
    pieces = cut_pieces(spans, numbers, ruler, backtrack)
    length = ruler.room + 2
    assert all(len(piece.ids) == len(piece.weights) == length for piece in pieces)
    return [list(piece.ids[1 : 1 + piece.tokens]) for piece in pieces]


def test_a_short_text_is_one_piece_with_ends_and_filling():
    (piece,) = cut_pieces([Span("1 2"), Span("3", 1.5)], numbers, RULER, 20)
    assert piece.ids == (BEGIN, 1, 2, 3, END, PAD, PAD, PAD)
    assert piece.weights == (1, 1, 1, 1.5, 1, 1, 1, 1)
    assert piece.weighted
    assert texts([Span("")]) == [[]]


def test_a_full_piece_ends_at_its_last_comma():
    text = [Span("1 2 9 3 4 5 6 7")]
    assert texts(text) == [[1, 2, 9], [3, 4, 5, 6, 7]]
    assert texts(text, backtrack=4) == [[1, 2, 9], [3, 4, 5, 6, 7]]
    assert texts(text, backtrack=3) == [[1, 2, 9, 3, 4, 5], [6, 7]]
    assert texts(text, backtrack=0) == [[1, 2, 9, 3, 4, 5], [6, 7]]
    assert texts([Span("1 2 3 4 5 9 6 7")]) == [[1, 2, 3, 4, 5, 9], [6, 7]]
    assert texts([Span("1 2 3 4 5 6 9 7")]) == [[1, 2, 3, 4, 5, 6], [9, 7]]
    assert texts([Span("1 2 3 4 5 6")]) == [[1, 2, 3, 4, 5, 6]]


def test_a_break_ends_a_piece_however_short():
    assert texts([Span("1"), Span(None), Span("2")]) == [[1], [2]]
    assert texts([Span(None), Span("2")]) == [[], [2]]
    assert texts([Span("1"), Span(None)]) == [[1]]
    assert texts([Span("1"), Span(None), Span(""), Span(None), Span("2")]) == [[1], [], [2]]


def test_an_encoder_without_a_begin():
    (piece,) = cut_pieces([Span("1 2")], numbers, Ruler(room=3, end=END, pad=0), 20)
    assert piece.ids == (1, 2, END, 0)


@given(st.lists(st.integers(1, 12), max_size=60), st.integers(0, 6))
def test_no_token_is_lost_and_none_moves(tokens, backtrack):
    pieces = cut_pieces([Span(" ".join(map(str, tokens)))], numbers, RULER, backtrack)
    assert [token for piece in pieces for token in piece.ids[1 : 1 + piece.tokens]] == tokens
    assert all(piece.tokens <= RULER.room for piece in pieces)


@pytest.fixture
def tokenizers():
    return Tokenizers(ROOT / "configs" / "model-configs")


def entry(path, layout="diffusers"):
    return ModelEntry("m", path, layout, "sd15", 512)


def test_counting_with_the_models_own_tokenizer(tmp_path, tokenizers):
    save_clip_tokenizer(tmp_path / "tokenizer")
    counter = tokenizers.of(entry(tmp_path))
    assert counter.count("a red circle", 20, "Original", 20).tokens == 3
    counted = counter.count("a " * 100, 20, "Original", 20)
    assert (counted.tokens, counted.limit, counted.pieces) == (100, 150, 2)
    counted = counter.count("a BREAK a red", 20, "Original", 20)
    assert (counted.tokens, counted.limit, counted.pieces) == (77, 150, 2)
    assert counter.count("[a:a red circle:5] AND a", 20, "Original", 20).tokens == 3
    assert counter.count("(a:1.2) <lora:x:1> [red]", 20, "Original", 20).tokens == 2


def test_the_pocket_model_is_counted_with_its_own_limit(tokenizers):
    counted = tokenizers.of(entry(ROOT / "models" / "pocket")).count(
        "a red circle on a white background", 20, "None", 20
    )
    assert (counted.tokens, counted.limit) == (7, 38)


def test_a_single_file_is_counted_with_clips_tokens(tmp_path, tokenizers):
    counter = tokenizers.of(entry(tmp_path / "x.safetensors", "single_file"))
    assert list(counter.tokenize("a photo of a cat")) == [320, 1125, 539, 320, 2368]
    assert PromptBook().count("a photo of a cat", None, 20).tokens == 5


def test_a_torn_tokenizer_is_told(tmp_path, tokenizers):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(json.dumps({"model": 3}), "utf-8")
    with pytest.raises(BrokenModel, match="cannot be read"):
        tokenizers.of(entry(tmp_path))
