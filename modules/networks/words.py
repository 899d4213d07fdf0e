"""New words in prompts: found by name in the text, carried through the tokenizer as numbers below zero.

A shared tokenizer is never changed. The words of embeddings are cut out of the text before it works, and each of their
vectors gets a number of its own, below zero, where no tokenizer has any. In front of the text encoder's table stands
`WordVectors`, which puts the vectors in for those numbers, so calls of several jobs may still be one.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modules.contracts.networks import NetworkEntry


@dataclass(frozen=True, slots=True)
class Word:
    """One embedding in use: how it is spelled in prompts, and the numbers that stand for its vectors."""

    entry: NetworkEntry
    spellings: tuple[str, ...]
    numbers: tuple[int, ...]
    bundle: str = ""
    """The network in whose file it came; empty for an embedding of its own."""


class Vocabulary:
    """The new words of one loaded model. Safe from any thread; what was given a number keeps it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Hashable, Word] = {}
        self._tables: dict[str, list[Tensor]] = {}
        self._next = -1

    def learn(self, key: Hashable, entry: NetworkEntry, vectors: Mapping[str, Tensor], bundle: str = "") -> Word:
        """The word of an embedding; `key` tells one state of its file from another. `vectors` are by encoder, `bundle`
        is the name of the network in whose file it came."""
        with self._lock:
            found = self._known.get(key)
            if found is None:
                count = next(iter(vectors.values())).shape[0]
                numbers = tuple(range(self._next, self._next - count, -1))
                self._next -= count
                for part, rows in vectors.items():
                    self._tables.setdefault(part, []).extend(rows.float().unbind())
                spellings = tuple(dict.fromkeys((entry.name, entry.alias)))
                found = self._known[key] = Word(entry, spellings, numbers, bundle)
            return found

    def knows(self, key: Hashable) -> Word | None:
        """The word that was learnt under that key."""
        with self._lock:
            return self._known.get(key)

    def table(self, part: str) -> list[Tensor]:
        """Vectors of an encoder: that of number -1 first, then -2 and so on."""
        with self._lock:
            return list(self._tables.get(part, ()))


def pattern_of(names: Sequence[str]) -> re.Pattern[str]:
    """Matches any of the names where it stands for itself, longest first, in any case."""
    words = sorted(set(names), key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w-])", re.IGNORECASE)


class WordTokenizer:
    """A tokenizer that knows words as well; everything but encoding is the tokenizer's own."""

    def __init__(self, tokenizer: Any, words: Sequence[Word]) -> None:
        self._tokenizer = tokenizer
        self._numbers = {spelling.casefold(): word.numbers for word in words for spelling in word.spellings}
        self._pattern = pattern_of(list(self._numbers))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_tokenizer"], name)

    def __call__(self, text: str | Sequence[str], **named: Any) -> Any:
        """As the tokenizer's own; texts without a word of ours are left to it."""
        texts = [text] if isinstance(text, str) else list(text)
        if not any(self._pattern.search(one) for one in texts):
            return self._tokenizer(text, **named)
        wrap = bool(named.get("add_special_tokens", True))
        limit = int(named.get("max_length") or self._tokenizer.model_max_length) if named.get("truncation") else None
        rows = [self._encode(one, wrap, limit) for one in texts]
        masks = [[1] * len(row) for row in rows]
        if named.get("padding"):
            longest = max(map(len, rows))
            width = int(named.get("max_length") or self._tokenizer.model_max_length)
            width = width if named["padding"] == "max_length" else longest
            masks = [mask + [0] * (width - len(mask)) for mask in masks]
            rows = [row + [self._tokenizer.pad_token_id] * (width - len(row)) for row in rows]
        values: dict[str, Any] = {"input_ids": rows, "attention_mask": masks}
        if named.get("return_tensors") == "pt":
            values = {name: torch.tensor(value) for name, value in values.items()}
        elif isinstance(text, str):
            values = {name: value[0] for name, value in values.items()}
        from transformers import BatchEncoding

        return BatchEncoding(values)

    def ids(self, text: str) -> list[int]:
        """Token ids of the whole text without begin and end."""
        return self._encode(text, False, None)

    def _encode(self, text: str, wrap: bool, limit: int | None) -> list[int]:
        numbers: list[int] = []
        place = 0
        for found in self._pattern.finditer(text):
            numbers += self._plain(text[place : found.start()])
            numbers += self._numbers[found[0].casefold()]
            place = found.end()
        numbers += self._plain(text[place:])
        if not wrap:
            return numbers if limit is None else numbers[:limit]
        if limit is not None:
            numbers = numbers[: limit - 2]
        return [self._tokenizer.bos_token_id, *numbers, self._tokenizer.eos_token_id]

    def _plain(self, text: str) -> list[int]:
        if not text.strip():
            return []
        quick = getattr(self._tokenizer, "ids", None)
        if quick is not None:
            return list(quick(text))
        return list(self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)

    def batch_decode(self, sequences: Sequence[Sequence[int]], **named: Any) -> Any:
        """As the tokenizer's own, with our words by name."""
        return [self._decode(list(sequence), **named) for sequence in sequences]

    def _decode(self, sequence: list[int], **named: Any) -> str:
        starts: dict[int, str] = {}
        for spelling, numbers in self._numbers.items():
            starts.setdefault(numbers[0], spelling)
        pieces: list[str] = []
        plain: list[int] = []
        for number in [*sequence, None]:
            if number is not None and number >= 0:
                plain.append(number)
                continue
            if plain:
                pieces.append(str(self._tokenizer.batch_decode([plain], **named)[0]).strip())
                plain = []
            if number in starts:
                pieces.append(starts[number])
        return " ".join(pieces)


class WordVectors:
    """A patch of the multiplexer: an encoder reads the vectors of words where their numbers stand."""

    signature: Hashable = "words"

    def __init__(self, part: str, vocabulary: Vocabulary, words: Sequence[Word] = ()) -> None:
        """`words` are those that the texts of its calls have."""
        self._part, self._vocabulary = part, vocabulary
        self.identity: Hashable = tuple(word.numbers for word in words)

    @contextlib.contextmanager
    def applied(self, module: Any) -> Iterator[None]:
        """Two hooks on the table of embeddings, taken away on leaving; no weight is touched."""
        vectors = self._vocabulary.table(self._part)
        if not vectors:
            yield
            return
        held: list[Tensor] = []

        def before(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
            held.append(given[0])
            return (given[0].clamp_min(0), *given[1:])

        def after(_: Any, given: tuple[Any, ...], output: Tensor) -> Tensor:
            numbers = held.pop().to(output.device)
            places = numbers < 0
            if bool(places.any()):
                rows = torch.stack([vectors[-1 - number] for number in numbers[places].tolist()])
                output = output.clone()
                output[places] = rows.to(output.device, output.dtype)
            return output

        table = module.get_input_embeddings()
        with contextlib.ExitStack() as stack:
            stack.callback(table.register_forward_pre_hook(before).remove)
            stack.callback(table.register_forward_hook(after).remove)
            yield
