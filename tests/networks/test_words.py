"""New words: found in texts, carried through a shared tokenizer as numbers, read by the encoder as their vectors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from modules.contracts.networks import NetworkEntry
from modules.networks.words import Vocabulary, WordTokenizer, WordVectors


class Letters:
    """A tokenizer whose tokens are letters."""

    bos_token_id, eos_token_id, pad_token_id, model_max_length = 1, 2, 3, 12

    def __call__(self, text, **named):
        one = [ord(letter) for letter in text if letter != " "]
        return type("Said", (), {"input_ids": one if isinstance(text, str) else None})()

    def batch_decode(self, rows, **named):
        return ["".join(map(chr, row)) for row in rows]


@pytest.fixture
def vocabulary():
    made = Vocabulary()
    for name, alias, count in (("cat", "<cat>", 2), ("cat-toy", "cat-toy", 1)):
        entry = NetworkEntry(name, "embedding", Path(f"{name}.safetensors"), alias)
        made.learn(name, entry, {"text_encoder": torch.arange(count * 4).reshape(count, 4) + 100.0 * count})
    return made


@pytest.fixture
def tokenizer(vocabulary):
    return WordTokenizer(Letters(), [vocabulary.knows("cat"), vocabulary.knows("cat-toy")])


def test_a_word_keeps_its_numbers(vocabulary):
    entry = vocabulary.knows("cat").entry
    assert vocabulary.knows("cat").numbers == (-1, -2)
    assert vocabulary.knows("cat-toy").numbers == (-3,)
    assert vocabulary.learn("cat", entry, {"text_encoder": torch.zeros(9, 4)}).numbers == (-1, -2)
    assert len(vocabulary.table("text_encoder")) == 3


def test_words_are_found_where_they_stand_for_themselves(tokenizer):
    assert tokenizer.ids("a Cat b") == [97, -1, -2, 98]
    assert tokenizer.ids("cat-toy,<cat>") == [-3, 44, -1, -2]
    assert tokenizer.ids("cats concat") == [ord(letter) for letter in "catsconcat"]
    assert tokenizer("x cat", add_special_tokens=False).input_ids == [120, -1, -2]


def test_a_row_is_cut_and_filled_as_the_tokenizer_would(tokenizer):
    made = tokenizer(
        ["cat abcdefghijklm", "cat"], padding="max_length", max_length=8, truncation=True, return_tensors="pt"
    )
    assert made.input_ids.tolist() == [[1, -1, -2, 97, 98, 99, 100, 2], [1, -1, -2, 2, 3, 3, 3, 3]]
    assert made.attention_mask[1].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert tokenizer.batch_decode([[97, -1, -2, 98]]) == ["a cat b"]


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(130, 4)

    def get_input_embeddings(self):
        return self.table

    def forward(self, ids):
        return self.table(ids)


def test_the_encoder_reads_the_vectors_and_is_left_as_it_was(vocabulary):
    encoder = Encoder().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    ids = torch.tensor([[97, -1, -2], [-3, 98, 99]])
    with WordVectors("text_encoder", vocabulary).applied(encoder):
        said = encoder(ids)
    assert said[0, 1].tolist() == [200, 201, 202, 203]
    assert said[0, 2].tolist() == [204, 205, 206, 207]
    assert said[1, 0].tolist() == [100, 101, 102, 103]
    assert torch.equal(said[1, 1:], encoder.table.weight[98:100])
    assert all(torch.equal(encoder.state_dict()[name], tensor) for name, tensor in before.items())
    assert not encoder.table._forward_hooks
    assert not encoder.table._forward_pre_hooks
    with pytest.raises(IndexError):
        encoder(ids)


def test_nothing_hangs_on_an_encoder_when_a_call_fails(vocabulary):
    encoder = Encoder().requires_grad_(False)
    with pytest.raises(IndexError), WordVectors("text_encoder", vocabulary).applied(encoder):
        encoder(torch.tensor([[1000]]))
    assert not encoder.table._forward_hooks
