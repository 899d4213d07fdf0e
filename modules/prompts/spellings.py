"""Tokens of words that were met before, for tokenizers that read each word by itself.

CLIP's tokenizer cuts at every space and never merges across it, so a text's tokens are those of its words in a row.
Looking words up takes a tenth of what the tokenizer takes, and prompts say the same words again and again.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, chain
from typing import Any

MOST = 20_000
"""Words that are kept; when there are more, all are forgotten."""
LONGEST = 64
"""Characters of a word that is kept."""
_PROBE = "A red-ish cat"


class Spellings:
    """What one tokenizer makes of words. Not safe from several threads at once, as the tokenizer is not either."""

    def __init__(self) -> None:
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str, backend: Any) -> list[int]:
        """Token ids of the text without begin and end, the same as `backend` (of the library `tokenizers`) gives.

        `backend` must read words apart and neither cut nor fill up. All new words go to it in one call.
        """
        words = text.split(" ")
        try:
            return list(chain.from_iterable(map(self._known.__getitem__, words)))
        except KeyError:
            found = self._learn(words, backend)
        return list(chain.from_iterable(map(found.__getitem__, words)))

    def _learn(self, words: list[str], backend: Any) -> dict[str, list[int]]:
        """Tokens of all the words, those that are new read and kept."""
        known = self._known
        new = [word for word in dict.fromkeys(words) if word not in known]
        read = _read(new, backend)
        found = {word: known[word] for word in words if word in known} | read
        kept = [word for word in new if len(word) <= LONGEST][:MOST]
        if len(known) + len(kept) > MOST:
            known.clear()
        known.update((word, read[word]) for word in kept)
        return found


def reads_words_apart(tokenizer: Any) -> bool:
    """Whether a space is always a border for a tokenizer of transformers, as it is for CLIP's."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = getattr(backend, "model", None)
    if backend is None or getattr(model, "end_of_word_suffix", None) != "</w>":
        return False
    if any(" " in token.content for token in backend.get_added_tokens_decoder().values()):
        return False

    def ids(text: str) -> list[int]:
        return list(backend.encode(text, add_special_tokens=False).ids)

    return ids(_PROBE) == [token for word in _PROBE.split(" ") for token in ids(word)]


def _read(words: list[str], backend: Any) -> dict[str, list[int]]:
    """Tokens of each word, by one call for all of them: a token belongs to the word in which its characters begin."""
    encoding = backend.encode(" ".join(words), add_special_tokens=False)
    starts = list(accumulate((len(word) + 1 for word in words), initial=0))
    found: dict[str, list[int]] = {word: [] for word in words}
    for token, (begin, _) in zip(encoding.ids, encoding.offsets, strict=True):
        found[words[bisect_right(starts, begin) - 1]].append(token)
    return found
