"""Tokenizers for models that bring none: CLIP's own vocabulary ships with the program, those of
other readers have to be put in place."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.sd_models.components import find_class
from modules.support.clip_words import clip_vocabulary

MERGES = "clip-merges.txt"
SHARED = {
    "T5Tokenizer": ("T5", "t5-tokenizer", ("tokenizer.json", "spiece.model")),
    "Qwen2Tokenizer": ("Qwen", "qwen-tokenizer", ("tokenizer.json",)),
    "BertTokenizer": ("HunyuanDiT's BERT", "hunyuan-bert-tokenizer", ("tokenizer.json", "vocab.txt")),
    "LlamaTokenizer": ("Pile-T5", "pile-t5-tokenizer", ("tokenizer.json",)),
    "GemmaTokenizer": ("Gemma", "gemma-tokenizer", ("tokenizer.json",)),
    "ChatGLMTokenizer": ("ChatGLM3", "chatglm-tokenizer", ("tokenizer.model",)),
    "TokenizersBackend": ("Mistral Small 3", "mistral-tokenizer", ("tokenizer.json",)),
}
"""Tokenizers put in place for all models: what they are called, their folder, and the files of which it has one."""
FILES = {
    "CLIPTokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "T5Tokenizer": (("tokenizer.json",), ("spiece.model",)),
    "Qwen2Tokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "GemmaTokenizer": (("tokenizer.json",),),
    "TokenizersBackend": (("tokenizer.json",),),
    "ChatGLMTokenizer": (("tokenizer.model",),),
    "BertTokenizer": (("tokenizer.json",), ("vocab.txt",)),
    "LlamaTokenizer": (("tokenizer.json",), ("tokenizer.model",)),
}
"""What a tokenizer's folder has to hold, one of these; the libraries make an empty tokenizer of an empty folder."""

NEEDED = {"ChatGLMTokenizer": ("sentencepiece", "python launch.py --extra kolors")}
"""Tokenizers that a package opens which is no part of the core, and how to get it."""


def read_tokenizer(name: str, folder: Path) -> Any:
    """The tokenizer of that class in a folder.

    Raises `BrokenModel` when the folder holds no vocabulary, `UnsupportedFeature` when a package is missing.
    """
    kind = find_class(name)
    ways = FILES[kind.__name__]
    if not any(all((folder / file).is_file() for file in files) for files in ways):
        raise BrokenModel(
            f"{folder.name} holds no vocabulary; {' or '.join(' and '.join(way) for way in ways)} is needed"
        )
    return _open(kind, folder)


def _open(kind: Any, folder: Path, **config: Any) -> Any:
    package, command = NEEDED.get(kind.__name__, (None, ""))
    if package is not None and importlib.util.find_spec(package) is None:
        raise UnsupportedFeature(
            f"The tokenizer of {SHARED[kind.__name__][0]} is opened by the package {package}, which is not installed; "
            f"get it with: {command}"
        )
    return kind.from_pretrained(folder, local_files_only=True, **config)


def check_words(components: Mapping[str, Any]) -> None:
    """Raise `BrokenModel` when a tokenizer knows more words than its text encoder has room for."""
    for name, tokenizer in components.items():
        encoder = components.get(f"text_encoder{name.removeprefix('tokenizer')}") if "tokenizer" in name else None
        if encoder is None:
            continue
        words, room = max(tokenizer.get_vocab().values(), default=0) + 1, encoder.config.get_text_config().vocab_size
        if words > room:
            raise BrokenModel(
                f"{name} knows {words} words and its text encoder has room for {room}; they do not belong together"
            )


def make_tokenizer(recipe: Mapping[str, Any], configs: Path, folders: Sequence[Path], beside: str) -> Any:
    """The tokenizer that a row of `configs/model-configs` describes.

    CLIP's is built from the merges in `configs`; others are looked for in `folders`, as SHARED or the row's own
    `shared` says, since no file of weights holds a vocabulary to build them from. Raises `BrokenModel` saying which
    file is missing and where it is looked for; `beside` names the folder of this model where one of its own may lie.
    Raises `UnsupportedFeature` when a package is missing.
    """
    kind = find_class(recipe["class"])
    if recipe["class"] == "CLIPTokenizer":
        words, merges = clip_vocabulary(configs / MERGES)
        return kind(vocab=dict(words), merges=list(merges), **recipe["config"])
    label, place, files = recipe.get("shared") or SHARED[kind.__name__]
    for folder in folders:
        if any((folder / place / name).is_file() for name in files):
            return _open(kind, folder / place, **recipe["config"])
    raise BrokenModel(
        f"the tokenizer of {label} is needed, which no file of weights holds; put its {' or '.join(files)} into the "
        f"folder text-encoders/{place} of the models, for all of them, or into {beside} beside the file"
    )
