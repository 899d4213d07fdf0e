"""A third text encoder that says nothing, for SD 3's layout: without one, diffusers does not open a folder by itself.

Its answer is zero, which is what the pipeline puts where the encoder is left out. Its tokenizer counts words as the
CLIP tokenizer does and takes as many, so whoever asks it how much of a prompt is read gets the truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

MARKS = ("<pad>", "</s>", "<unk>", "▁")
SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-"
_TAIL = "</w>"


def build_silence(vocabulary: int, width: int) -> Any:
    """A T5EncoderModel of one layer with all weights zero; its answers are zeros of that width."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=vocabulary, d_model=width, d_kv=1, d_ff=1, num_layers=1, num_heads=1, is_encoder_decoder=False
    )
    encoder = T5EncoderModel(config)
    with torch.no_grad():
        for value in encoder.parameters():
            value.zero_()
    return encoder.eval().requires_grad_(False)


def build_counter(clip_words: Iterable[str], length: int) -> Any:
    """A T5Tokenizer with a piece for each whole word of a CLIP vocabulary; other text falls into single signs."""
    from transformers import T5Tokenizer

    words = sorted({word.removesuffix(_TAIL) for word in clip_words if word.endswith(_TAIL)})
    whole = ["▁" + word for word in words if word.isalpha() and word.isascii() and len(word) > 1]
    pieces = [*((mark, -2.0 if mark == "▁" else 0.0) for mark in MARKS), *((word, -3.0) for word in whole)]
    pieces += [("▁" + sign, -4.0) for sign in SIGNS] + [(sign, -6.0) for sign in SIGNS]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)
