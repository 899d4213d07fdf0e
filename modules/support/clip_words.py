"""CLIP's vocabulary from its list of merges, for whatever brings none of its own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=2)
def clip_vocabulary(file: Path) -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """CLIP's vocabulary, 49408 words, and its merges, built as the original does from the list of merges.

    First the 256 bytes as printable characters, then the same at the end of a word, then what each merge gives, then
    start and end of text.
    """
    lines = file.read_text("utf-8").splitlines()
    merges = tuple((first, second) for first, second in (line.split() for line in lines))
    letters = _byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(first + second for first, second in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return {word: number for number, word in enumerate(words)}, merges


def _byte_letters() -> list[str]:
    """A visible character for each byte, in the order of CLIP's vocabulary: printable Latin-1 first, then the rest."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) for byte in visible] + [chr(256 + index) for index in range(len(hidden))]
