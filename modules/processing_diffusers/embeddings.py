"""What the text encoders made of recent texts, kept so that a repeated prompt costs nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from modules.processing_diffusers.families.base import Embedding
from modules.support.tally import Tally

EMBEDDING_BYTES = 64 * 2**20
"""Room for embeddings of recent texts, per model."""


class Sized(Protocol):
    """Anything that knows how much memory it takes."""

    @property
    def bytes(self) -> int:
        """Size of all tensors."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text after encoders that read whole texts."""

    embedding: Embedding

    @property
    def bytes(self) -> int:
        """Size of all tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.embedding.values())


class EmbeddingCache:
    """Least recently used out first. Safe from any thread.

    A key says everything that decides what comes out: which encoder, with which changes, what text, read how.
    """

    def __init__(self, limit: int = EMBEDDING_BYTES, tally: Tally | None = None) -> None:
        """`limit` is in bytes; `tally` counts which texts were known."""
        self._limit = limit
        self._tally = tally or Tally()
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, Sized] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Any:
        """The entry of that key, now the most recent one; None where it is not known."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
        self._tally.count(hit=found is not None)
        return found

    def put(self, key: Hashable, encoded: Sized) -> None:
        """Keep it; the least recently used go when there is no room."""
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = encoded
            self._bytes += encoded.bytes
            while self._bytes > self._limit and len(self._entries) > 1:
                self._bytes -= self._entries.popitem(last=False)[1].bytes
