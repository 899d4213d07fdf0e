"""What every reader of another program's pictures answers with, and what they share: hostile JSON, numbers, names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.contracts.infotext import exact_prompts, write
from modules.outputs.foreign.names import SAMPLERS, SCHEDULES

FEWEST = 3
"""Pairs that a last line of infotext needs to be taken for one."""
MOST_IN_NAME = 500
_ENDING = re.compile(r"\.(safetensors|ckpt|pt|pth|bin|gguf|sft)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a picture of another program says, in the form that all else here reads."""

    program: str
    """The name that it goes by."""
    infotext: str
    """A1111 infotext; empty where nothing could be made of what is there."""
    notes: tuple[str, ...] = ()
    """Whole sentences about what was not taken over."""


def tell(program: str, texts: tuple[str, str], fields: Mapping[str, object], notes: list[str]) -> Foreign:
    """The answer of a reader: prompt and negative prompt, and fields by their labels in infotext."""
    prompt, negative = ("\n".join(line.strip() for line in text.split("\n")).strip() for text in texts)
    given = {label: value for label, value in fields.items() if value not in (None, "")}
    if len(given) < FEWEST:
        given["App"] = program
    given = {**given, **exact_prompts(prompt, negative)} if len(given) >= FEWEST else {}
    return Foreign(program, write(prompt, negative, given), tuple(dict.fromkeys(notes)))


def load_object(text: str) -> dict[str, Any] | None:
    """The JSON object of a text; None for anything else, however deep or broken it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def number(value: object) -> int | float | None:
    """A finite number, also one that is written as text."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value if abs(value) < 2**64 else None
    return value if math.isfinite(value) else None


def words(value: object) -> str:
    """A text, on as many lines as it has, halves of characters replaced; empty for anything that is none."""
    return value.strip().encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def stem(value: object) -> str:
    """The name of a model file without folders and ending, which is how A1111 names models."""
    return _ENDING.sub("", re.split(r"[\\/]", words(value)[-MOST_IN_NAME:])[-1])


def size(width: object, height: object) -> str | None:
    """Two sides in pixels as infotext writes them; None unless both are numbers above zero."""
    wide, high = number(width), number(height)
    return f"{int(wide)}x{int(high)}" if wide is not None and high is not None and min(wide, high) >= 1 else None


def with_networks(prompt: str, networks: Mapping[str, object]) -> str:
    """The prompt with those networks in A1111's syntax at its end; the values are their weights."""
    calls = [f"<lora:{name}:{number(weight) or 0:g}>" for name, weight in networks.items() if name]
    return " ".join([prompt, *calls]).strip()


def sampling(sampler: object, schedule: object, notes: list[str]) -> dict[str, str]:
    """Sampler and schedule type as they are called here; `notes` gets a sentence for each that has no counterpart."""
    fields = {}
    for label, what, value, table in (
        ("Sampler", "sampler", sampler, SAMPLERS),
        ("Schedule type", "schedule type", schedule, SCHEDULES),
    ):
        name = words(value)
        known = table.get(name.casefold().removesuffix("_gpu"))
        if known:
            fields[label] = known
        elif name:
            notes.append(f"There is no {what} here for {name[:60]!r}, so that one is left open.")
    return fields
