"""File names from A1111's patterns: `[seed]-[prompt_words]` and the like, safe on every system.

The result is one name without folders. It can be used on Linux, macOS and Windows, whatever prompt went into it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from modules.contracts.infotext import parse
from modules.contracts.result import Picture

MAX_NAME_BYTES = 180
"""Bytes of a name without number and ending, so that temporary names made from it fit into 255 as well."""
MAX_WORDS = 8
_TOKEN = re.compile(r"\[([a-z_]+)((?:<[^<>\[\]]*>){0,2})\]")
_ARGUMENT = re.compile(r"<([^<>]*)>")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*#\[\]\x00-\x1f\x7f]')
_NO_WORD = re.compile(r"[^\w]+")
_RESERVED = re.compile(r"^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_DATETIME = "%Y%m%d%H%M%S"


@dataclass(frozen=True, slots=True)
class Naming:
    """What a name can be made of."""

    picture: Picture
    time: datetime
    """When the picture was finished, with time zone."""
    job_id: str
    owner: str
    number: int
    """Running number of the gallery."""


def expand(pattern: str, naming: Naming) -> str:
    """The name that a pattern gives, without ending; `picture` when nothing is left of it.

    Known words: see `TOKENS`. An unknown word stays, its brackets made harmless. A word without a value vanishes.
    """
    facts = parse(naming.picture.infotext, defaults=False)

    def replace(match: re.Match[str]) -> str:
        make = TOKENS.get(match.group(1))
        return match.group() if make is None else make(naming, facts, _ARGUMENT.findall(match.group(2)))

    return sanitise(_TOKEN.sub(replace, pattern[:1000]))


def sanitise(name: str) -> str:
    """`name` as a file name that every system takes: no separators, control characters, reserved names or odd ends."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "ignore").decode("utf-8"))
    text = _FORBIDDEN.sub("_", text)
    text = "".join(
        mark for mark in text if unicodedata.category(mark) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    )
    text = _trim(" ".join(text.split()))
    text = _trim(text.encode("utf-8")[:MAX_NAME_BYTES].decode("utf-8", "ignore"))
    if _RESERVED.match(text):
        text = f"_{text}"
    return text or "picture"


def _trim(text: str) -> str:
    """Without spaces and dots at the ends (Windows drops them, Unix hides files by them) and dashes left by nothing."""
    return text.strip(" .-")


Facts = dict[str, str]
Token = Callable[[Naming, Facts, list[str]], str]


def _fact(key: str) -> Token:
    return lambda naming, facts, arguments: facts.get(key, "")


def _words(naming: Naming, facts: Facts, arguments: list[str]) -> str:
    limit = int(arguments[0]) if arguments and arguments[0].isdigit() else MAX_WORDS
    words = [word for word in _NO_WORD.split(naming.picture.prompt) if word]
    return " ".join(words[: min(limit, 64)])


def _datetime(naming: Naming, facts: Facts, arguments: list[str]) -> str:
    """`[datetime<FORMAT><ZONE>]`; a format or zone that does not exist falls back to the default one."""
    moment = naming.time
    if len(arguments) > 1 and arguments[1]:
        try:
            moment = moment.astimezone(ZoneInfo(arguments[1]))
        except (ValueError, OSError, LookupError):
            moment = naming.time
    shape = arguments[0] if arguments and arguments[0] else _DATETIME
    try:
        return moment.strftime(shape[:100]) or moment.strftime(_DATETIME)
    except ValueError:
        return moment.strftime(_DATETIME)


def _hash(text: str, arguments: list[str]) -> str:
    length = int(arguments[0]) if arguments and arguments[0].isdigit() else 8
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[: max(1, min(length, 64))]


def _image_hash(naming: Naming, facts: Facts, arguments: list[str]) -> str:
    length = int(arguments[0]) if arguments and arguments[0].isdigit() else 8
    return hashlib.sha256(naming.picture.image.tobytes()).hexdigest()[: max(1, min(length, 64))]


def _has_prompt(naming: Naming, facts: Facts, arguments: list[str]) -> str:
    """`[hasprompt<word|default>]`: the word where the prompt has it, else the default."""
    prompt, parts = naming.picture.prompt.lower(), []
    for argument in arguments:
        word, _, other = argument.partition("|")
        parts.append(word if word and word.lower() in prompt else other)
    return "".join(parts)


TOKENS: dict[str, Token] = {
    "seed": lambda naming, facts, arguments: str(naming.picture.seed),
    "subseed": lambda naming, facts, arguments: str(naming.picture.subseed),
    "prompt": lambda naming, facts, arguments: naming.picture.prompt,
    "prompt_no_styles": lambda naming, facts, arguments: naming.picture.prompt,
    "prompt_spaces": lambda naming, facts, arguments: naming.picture.prompt.replace("_", " "),
    "prompt_words": _words,
    "prompt_hash": lambda naming, facts, arguments: _hash(naming.picture.prompt, arguments),
    "negative_prompt_hash": lambda naming, facts, arguments: _hash(naming.picture.negative, arguments),
    "full_prompt_hash": lambda naming, facts, arguments: _hash(
        f"{naming.picture.prompt} {naming.picture.negative}", arguments
    ),
    "hasprompt": _has_prompt,
    "steps": _fact("Steps"),
    "cfg": _fact("CFG scale"),
    "sampler": _fact("Sampler"),
    "scheduler": _fact("Schedule type"),
    "denoising": _fact("Denoising strength"),
    "clip_skip": _fact("Clip skip"),
    "model_name": _fact("Model"),
    "model_hash": _fact("Model hash"),
    "vae_filename": _fact("VAE"),
    "width": lambda naming, facts, arguments: str(naming.picture.image.width),
    "height": lambda naming, facts, arguments: str(naming.picture.image.height),
    "date": lambda naming, facts, arguments: naming.time.strftime("%Y-%m-%d"),
    "datetime": _datetime,
    "job_timestamp": lambda naming, facts, arguments: naming.time.strftime(_DATETIME),
    "job": lambda naming, facts, arguments: naming.job_id,
    "user": lambda naming, facts, arguments: naming.owner,
    "batch_number": lambda naming, facts, arguments: str(naming.picture.index + 1),
    "generation_number": lambda naming, facts, arguments: str(naming.number),
    "number": lambda naming, facts, arguments: f"{naming.number:05d}",
    "image_hash": _image_hash,
    "none": lambda naming, facts, arguments: "",
}
"""Every word that a pattern may have in brackets."""
