"""The vocabulary: byte-pair encoding (Sennrich et al., arXiv:1508.07909) in the form of CLIP, learned from captions.

Every word of the captions ends up as one token; any other text still comes apart into bytes, so nothing is unknown.
Written as vocab.json and merges.txt, the files from which CLIPTokenizer and other readers build themselves.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LENGTH = 40
"""Tokens of a prompt with its start and end marks, the longest the text encoder takes."""

START, END = "<|startoftext|>", "<|endoftext|>"
_TAIL = "</w>"

Merge = tuple[str, str]


def byte_alphabet() -> list[str]:
    """One printable character for each of the 256 bytes, in CLIP's order: visible ones first, then the others."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in set(visible)]
    return [chr(byte) for byte in visible] + [chr(256 + place) for place in range(len(hidden))]


def learn_merges(captions: Iterable[str]) -> list[Merge]:
    """The merges, in order, after which each word of the captions is one token. Ties go to the alphabet."""
    words = Counter(word for caption in captions for word in re.findall(r"[a-z]+|[^\sa-z]", caption.lower()))
    split = {word: (*word[:-1], word[-1] + _TAIL) for word in words}
    merges: list[Merge] = []
    while True:
        pairs: Counter[Merge] = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _merge(parts, best) for word, parts in split.items()}


def _merge(parts: tuple[str, ...], pair: Merge) -> tuple[str, ...]:
    out: list[str] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return tuple(out)


def vocabulary(merges: Iterable[Merge]) -> dict[str, int]:
    """Token to number: bytes, bytes that end a word, merges, then the two marks."""
    alphabet = byte_alphabet()
    tokens = [*alphabet, *(letter + _TAIL for letter in alphabet), *(a + b for a, b in merges), START, END]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def write_tokenizer(folder: Path, merges: list[Merge]) -> Any:
    """Writes the tokenizer into `folder` in both forms, files of transformers and vocab.json with merges.txt.

    Returns the CLIPTokenizer as read back from those files.
    """
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocab = vocabulary(merges)
    tokenizer = CLIPTokenizer(
        vocab=vocab,
        merges=merges,
        model_max_length=LENGTH,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
    )
    tokenizer.save_pretrained(str(folder))
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def encode(tokenizer: Any, texts: list[str]) -> Any:
    """Token numbers, an int64 tensor of shape (texts, LENGTH), padded and cut as the pipeline does it."""
    return tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids
