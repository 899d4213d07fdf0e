"""A1111's infotext: the text that travels with a picture and says how it was drawn. Writing and reading of the format.

    PROMPT, over as many lines as it has
    Negative prompt: NEGATIVE
    Key: value, Key: "value, quoted as JSON", …

What the format cannot carry: white space at the ends of a line, empty lines at the ends of a prompt, and a prompt line
that itself begins with `Negative prompt:`. `exact_prompts` gives keys that carry such prompts for readers who know
them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NEGATIVE = "Negative prompt:"
EXACT_PROMPT = "Exact prompt"
EXACT_NEGATIVE = "Exact negative prompt"
_RUN = re.compile(r"[\w \-/]*")
_KEY = re.compile(r"\w[\w \-/]+$")
_VALUE = re.compile(r'\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"^(\d+)x(\d+)$")
_FEWEST_PAIRS = 3
_NEEDS_QUOTES = re.compile(r'[,:\n\r\x00-\x1f]|^"|^\s|\s$')

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "Clip skip": "1",
        "Hires resize-1": "0",
        "Hires resize-2": "0",
        "Hires sampler": "Use same sampler",
        "Hires schedule type": "Use same scheduler",
        "Hires checkpoint": "Use same checkpoint",
        "Hires prompt": "",
        "Hires negative prompt": "",
        "Mask mode": "Inpaint masked",
        "Masked content": "original",
        "Inpaint area": "Whole picture",
        "Masked area padding": "32",
        "RNG": "GPU",
        "Schedule type": "Automatic",
        "Schedule max sigma": "0",
        "Schedule min sigma": "0",
        "Schedule rho": "0",
        "VAE Encoder": "Full",
        "VAE Decoder": "Full",
        "FP8 weight": "Disable",
        "Refiner switch by sampling steps": "False",
    }
)
"""What a reader of A1111's format takes for granted when a key is missing."""


def text_of(value: object) -> str:
    """A value as infotext writes it: whole floats without a point, everything else as Python prints it."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def quote(value: object) -> str:
    """The value bare, or as a JSON string where a reader would cut or change it."""
    text = text_of(value)
    return json.dumps(text, ensure_ascii=False) if _NEEDS_QUOTES.search(text) else text


def unquote(text: str) -> str:
    """The inverse of `quote`; text that is no sound JSON string is left as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def write(prompt: str, negative: str, fields: Mapping[str, object]) -> str:
    """Infotext of a picture. Fields keep their order; None and empty values are left out.

    A1111 writes a value that equals its key as the key alone, which no reader gets back; here it has both, which every
    reader understands.
    """
    pairs = []
    for key, value in fields.items():
        text = "" if value is None else text_of(value)
        if text:
            pairs.append(f"{key}: {quote(value)}")
    parts = [prompt]
    if negative:
        parts.append(f"{NEGATIVE} {negative}")
    parts.append(", ".join(pairs))
    return "\n".join(parts).strip()


def parse(text: str, *, defaults: bool = True) -> dict[str, str]:
    """Read infotext of A1111's kind, whoever wrote it: `Prompt`, `Negative prompt` and every pair of the last line.

    A value like `512x768` becomes two, `Size-1` and `Size-2`. The last line counts as pairs only when it has three or
    more, else it belongs to the prompt. With `defaults`, keys that A1111 takes for granted are filled in. Never raises.
    """
    *lines, last = text.strip().split("\n")
    pairs = _pairs(last)
    if len(pairs) < _FEWEST_PAIRS:
        lines, pairs = [*lines, last], []
    found = _words(lines)
    for key, value in pairs:
        plain = unquote(value.strip())
        size = _SIZE.match(plain)
        if size is not None:
            found[f"{key}-1"], found[f"{key}-2"] = size.groups()
        elif plain:
            found[key] = plain
    _convert_first_pass(found)
    if defaults:
        for key, value in DEFAULTS.items():
            found.setdefault(key, value)
    return found


def _pairs(line: str) -> list[tuple[str, str]]:
    """Keys and raw values of a line. A key is two or more of word characters, space, `-` and `/`, then a colon.

    Takes time in proportion to the line, also for one that was made to be slow.
    """
    pairs: list[tuple[str, str]] = []
    position = 0
    while position < len(line):
        run = _RUN.match(line, position)
        end = run.end() if run else position
        key = _KEY.search(line[position:end]) if line[end : end + 1] == ":" else None
        value = _VALUE.match(line, end + 1) if key else None
        if key is None or value is None:
            position = end + 1
            continue
        pairs.append((key.group(), value.group(1)))
        position = max(value.end(), end + 1)
    return pairs


def read_pairs(line: str) -> list[tuple[str, str]]:
    """Keys and values of a line, quotes taken off."""
    return [(key, unquote(value.strip())) for key, value in _pairs(line)]


def _words(lines: list[str]) -> dict[str, str]:
    """Prompt and negative prompt from the lines above the pairs."""
    texts: dict[str, str] = {"Prompt": "", "Negative prompt": ""}
    target = "Prompt"
    for raw in lines:
        line = raw.strip()
        if line.startswith(NEGATIVE):
            target = "Negative prompt"
            line = line[len(NEGATIVE) :].strip()
        texts[target] += line if texts[target] == "" else "\n" + line
    return texts


def _convert_first_pass(found: dict[str, Any]) -> None:
    """Old texts gave the size of the first pass apart and the final size as `Size`; today it is the other way round."""
    width, height = found.pop("First pass size-1", None), found.pop("First pass size-2", None)
    if width is None or height is None:
        return
    if (width, height) != ("0", "0"):
        found["Hires resize-1"], found["Hires resize-2"] = found.get("Size-1", "0"), found.get("Size-2", "0")
        found["Size-1"], found["Size-2"] = width, height


def exact_prompts(prompt: str, negative: str) -> dict[str, str]:
    """Extra fields, both or none, for prompts that the format would change. `prompts_of` reads them."""
    probe = {f"Key {index}": index for index in range(_FEWEST_PAIRS)}
    seen = parse(write(prompt, negative, probe), defaults=False)
    if prompts_of(seen) == (prompt, negative):
        return {}
    return {EXACT_PROMPT: prompt, EXACT_NEGATIVE: negative}


def prompts_of(parsed: Mapping[str, str]) -> tuple[str, str]:
    """Prompt and negative prompt of a parsed text; exact ones win. An exact one that is empty is not written at all."""
    if EXACT_PROMPT in parsed or EXACT_NEGATIVE in parsed:
        return parsed.get(EXACT_PROMPT, ""), parsed.get(EXACT_NEGATIVE, "")
    return parsed.get("Prompt", ""), parsed.get("Negative prompt", "")
