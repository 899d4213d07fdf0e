"""InvokeAI: `invokeai_metadata` since 3.0, `sd-metadata` in 2.x, and the command line in `Dream` before it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from modules.outputs.foreign.base import (
    Foreign,
    load_object,
    number,
    sampling,
    size,
    stem,
    tell,
    with_networks,
    words,
)

PROGRAM = "InvokeAI"
_WITHOUT = re.compile(r"\[([^\[\]]*)\]")
_SWITCHES = {"-s": "Steps", "-S": "Seed", "-C": "CFG scale", "-f": "Denoising strength"}
_LEFT_OUT = {
    "controlnets": "ControlNet units",
    "ipAdapters": "IP-Adapters",
    "t2iAdapters": "T2I-Adapters",
    "positive_style_prompt": "style prompt",
    "refiner_model": "refiner",
    "hrf_enabled": "second pass",
}
"""What newer pictures may name and no field takes, by its key."""


def read(items: Mapping[str, str], width: int, height: int) -> Foreign | None:
    """What such a picture says; None for any other."""
    newer = load_object(items["invokeai_metadata"]) if "invokeai_metadata" in items else None
    if newer is not None:
        return _newer(newer, width, height)
    older = load_object(items["sd-metadata"]) if "sd-metadata" in items else None
    image = older.get("image") if older else None
    if older is not None and isinstance(image, dict):
        return _older(older, image, width, height)
    line = next((value for key, value in items.items() if key.casefold() == "dream"), "")
    return _command(line, width, height) if line else None


def _newer(said: Mapping[str, Any], width: int, height: int) -> Foreign:
    notes: list[str] = []
    scheduler = words(said.get("scheduler"))
    karras = scheduler.endswith("_k") and scheduler != "_k"
    chosen = sampling(scheduler.removesuffix("_k"), "karras" if karras else None, notes)
    model = _name(said.get("model"))
    fields = {
        "Steps": number(said.get("steps")),
        "Sampler": chosen.get("Sampler"),
        "Schedule type": chosen.get("Schedule type") if chosen.get("Sampler") else None,
        "CFG scale": _guidance(said),
        "Seed": number(said.get("seed")),
        "Size": size(said.get("width"), said.get("height")) or size(width, height),
        "Model": stem(model),
        "VAE": stem(_name(said.get("vae"))),
        "Denoising strength": number(said.get("strength")),
        "Clip skip": _clip_skip(said),
        "CFG rescale": number(said.get("cfg_rescale_multiplier")) or None,
    }
    networks: dict[str, object] = {}
    loras = said.get("loras")
    for one in loras if isinstance(loras, list) else []:
        if isinstance(one, dict):
            networks[stem(_name(one.get("model", one.get("lora"))))] = one.get("weight", 1)
    notes += [f"Its {what} cannot be taken over." for key, what in _LEFT_OUT.items() if said.get(key)]
    prompt = with_networks(words(said.get("positive_prompt")), networks)
    return tell(PROGRAM, (prompt, words(said.get("negative_prompt"))), fields, notes)


def _guidance(said: Mapping[str, Any]) -> int | float | None:
    """The scale; models that were taught theirs have it apart, beside one that is 1."""
    scale, taught = number(said.get("cfg_scale")), number(said.get("guidance"))
    return taught if taught is not None and scale in (None, 1) else scale


def _clip_skip(said: Mapping[str, Any]) -> int | None:
    """A1111 counts the layer that is read, InvokeAI those that are left out."""
    skipped = number(said.get("clip_skip"))
    return int(skipped) + 1 if skipped else None


def _name(value: object) -> str:
    """The name in an entry of a model, whose shape changed between versions."""
    if isinstance(value, dict):
        return words(value.get("name")) or words(value.get("model_name"))
    return words(value)


def _older(said: Mapping[str, Any], image: Mapping[str, Any], width: int, height: int) -> Foreign:
    parts = image.get("prompt")
    texts = [words(one.get("prompt")) for one in parts if isinstance(one, dict)] if isinstance(parts, list) else []
    prompt = " ".join(texts) if texts else words(parts)
    notes: list[str] = []
    chosen = sampling(image.get("sampler"), None, notes)
    fields = {
        "Steps": number(image.get("steps")),
        **chosen,
        "CFG scale": number(image.get("cfg_scale")),
        "Seed": number(image.get("seed")),
        "Size": size(image.get("width"), image.get("height")) or size(width, height),
        "Model": stem(said.get("model_weights")),
        "Denoising strength": number(image.get("strength")),
    }
    return tell(PROGRAM, _parted(prompt), fields, notes)


def _command(line: str, width: int, height: int) -> Foreign | None:
    """A line such as `"a cat [a dog]" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms`."""
    try:
        parts = shlex.split(line[:20_000])
    except ValueError:
        return None
    if not parts:
        return None
    given = dict(pairwise(parts[1:]))
    notes: list[str] = []
    fields: dict[str, object] = {label: number(given.get(switch)) for switch, label in _SWITCHES.items()}
    fields |= sampling(given.get("-A"), None, notes)
    fields["Size"] = size(given.get("-W"), given.get("-H")) or size(width, height)
    return tell(PROGRAM, _parted(parts[0]), fields, notes)


def _parted(prompt: str) -> tuple[str, str]:
    """Prompt and negative prompt of a text whose square brackets hold what is not wanted, as up to version 2."""
    without = ", ".join(part.strip() for part in _WITHOUT.findall(prompt))
    return " ".join(_WITHOUT.sub(" ", prompt).split()), without
