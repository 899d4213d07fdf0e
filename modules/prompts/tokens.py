"""Tokenizers without their model, and how many tokens a prompt has.

Read with the `tokenizers` library alone, so that a page can count while nothing heavy is loaded.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import BrokenModel, reason_of
from modules.contracts.prompts import TokenCount
from modules.prompts.chunks import Ruler, cut_pieces
from modules.prompts.emphasis import parse_emphasis
from modules.prompts.timeline import Pace
from modules.prompts.words import tell_screenplay
from modules.support.clip_words import clip_vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MERGES = "clip-merges.txt"
COMMA = ",</w>"
ROOM = 75
ENDS = 2
KEPT = 4
"""Tokenizers that stay in memory."""
LARGEST = 32 * 2**20
"""Bytes of a file that is read."""
_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
"""CLIP's words (Radford et al. 2021): what is merged into tokens, and never across."""


@dataclass(frozen=True, slots=True)
class Counter:
    """One model's tokenizer."""

    tokenizer: Tokenizer
    ruler: Ruler
    lock: Any

    def tokenize(self, text: str) -> Sequence[int]:
        """Token ids without begin and end."""
        with self.lock:
            return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def count(self, text: str, steps: int, emphasis: str, backtrack: int) -> TokenCount:
        """The longest of what the prompt says; full pieces count whole, as a break fills its piece up."""
        most = TokenCount(0, self.ruler.room, 1)
        for course, _ in tell_screenplay((text,), ("",), Pace(max(steps, 1))).parts:
            for texts in course.texts:
                pieces = cut_pieces(parse_emphasis(texts[0], emphasis), self.tokenize, self.ruler, backtrack)
                tokens = (len(pieces) - 1) * self.ruler.room + pieces[-1].tokens
                if (len(pieces), tokens) > (most.pieces, most.tokens):
                    most = TokenCount(tokens, len(pieces) * self.ruler.room, len(pieces))
        return most


class Tokenizers:
    """Tokenizers of models by what holds them. Safe from any thread."""

    def __init__(self, configs: Path) -> None:
        """`configs` holds CLIP's list of merges, for models that bring no tokenizer."""
        self._configs = configs
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, Counter] = OrderedDict()

    def of(self, model: ModelEntry | None) -> Counter:
        """The counter for a model's first text encoder. None, or one without a tokenizer, gets CLIP's own.

        Raises `BrokenModel` for a tokenizer that cannot be read.
        """
        folder = _folder_of(model)
        place = folder or self._configs / MERGES
        with self._lock:
            found = self._kept.get(place)
            if found is None:
                found = self._kept[place] = _standard(place) if folder is None else _read(folder)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(place)
        return found


def _folder_of(model: ModelEntry | None) -> Path | None:
    if model is None:
        return None
    homes = [model.path, model.path.with_suffix("")] if model.layout != "single_file" else [model.path.with_suffix("")]
    for home in homes:
        for name in ("tokenizer", "tokenizer_2"):
            folder = home / name
            if (folder / "tokenizer.json").is_file() or (folder / "merges.txt").is_file():
                return folder
    return None


def _read(folder: Path) -> Counter:
    """A tokenizer from a folder of a model. Raises `BrokenModel`."""
    try:
        made, config = _load(folder), {}
        if (folder / "tokenizer_config.json").is_file():
            config = _json(folder / "tokenizer_config.json")
    except Exception as error:  # the library raises nothing narrower for a file that makes no sense
        raise BrokenModel(f"The tokenizer in {folder.name} cannot be read: {reason_of(error)}.") from error
    made.no_truncation()
    made.no_padding()
    whole = config.get("model_max_length")
    room = int(whole) - ENDS if isinstance(whole, int | float) and 8 <= whole <= 100_000 else ROOM
    return _counter(made, room)


def _load(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_str(json.dumps(_json(folder / "tokenizer.json")))
    merges = [line.split() for line in (folder / "merges.txt").read_text("utf-8").splitlines()[1:] if line]
    return _clip(_json(folder / "vocab.json"), [(pair[0], pair[1]) for pair in merges])


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} is larger than {LARGEST} bytes")
    data = json.loads(path.read_text("utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} is no object")
    return data


def _standard(merges: Path) -> Counter:
    """CLIP's own tokenizer from its list of merges."""
    words, pairs = clip_vocabulary(merges)
    return _counter(_clip(words, list(pairs)), ROOM)


def _clip(words: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """CLIP's way of cutting: lower case, words by `_WORDS`, bytes merged by the list."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    model = models.BPE(
        vocab=words, merges=merges, continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token="<|endoftext|>"
    )
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return made


def _counter(made: Tokenizer, room: int) -> Counter:
    return Counter(made, Ruler(room, 0, 0, 0, made.token_to_id(COMMA)), threading.Lock())
