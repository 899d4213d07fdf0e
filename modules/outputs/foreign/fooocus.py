"""Fooocus: a JSON object in `parameters` (EXIF UserComment in JPEG and WebP), its form named in `fooocus_scheme`.

Its other form is A1111's and needs no reader. Labels are those of Fooocus 2.1 to 2.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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

PROGRAM = "Fooocus"
STEPS = {"quality": 60, "speed": 30, "extreme speed": 8, "lightning": 4, "hyper-sd": 4}
"""What its names of performance stand for."""
_PAIR = re.compile(r"(\d{1,6})\D+(\d{1,6})")


def read(items: Mapping[str, str], width: int, height: int) -> Foreign | None:
    """What such a picture says; None for any other."""
    text = items.get("parameters", "")
    said = load_object(text) if text.lstrip().startswith("{") else None
    if said is None or not _is_ours(said, items):
        return None
    notes: list[str] = []
    chosen = sampling(said.get("sampler"), said.get("scheduler"), notes)
    sides = _PAIR.search(words(said.get("resolution"))[:64])
    refiner = stem(said.get("refiner_model"))
    has_refiner = refiner not in ("", "None")
    vae = stem(said.get("vae"))
    steps = number(said.get("steps"))
    fields = {
        "Steps": steps if steps is not None else STEPS.get(words(said.get("performance")).casefold()),
        "Sampler": chosen.get("Sampler"),
        "Schedule type": chosen.get("Schedule type"),
        "CFG scale": number(said.get("guidance_scale")),
        "Seed": number(said.get("seed")),
        "Size": size(*sides.groups()) if sides else size(width, height),
        "Model": stem(said.get("base_model")),
        "VAE": vae if vae not in ("", "None") and not vae.startswith("Default") else None,
        "Clip skip": number(said.get("clip_skip")),
        "Refiner": refiner if has_refiner else None,
        "Refiner switch at": number(said.get("refiner_switch")) if has_refiner else None,
    }
    styles = words(said.get("styles"))
    if styles not in ("", "[]"):
        notes.append("Its styles are not known here; the prompt is what was written before they were put round it.")
    for key, what in (("sharpness", "sharpness"), ("freeu", "FreeU"), ("adm_guidance", "ADM guidance")):
        if words(str(said.get(key, ""))):
            notes.append(f"Its {what} is left out.")
    prompt = with_networks(words(said.get("prompt")), _networks(said))
    return tell(PROGRAM, (prompt, words(said.get("negative_prompt"))), fields, notes)


def _is_ours(said: Mapping[str, Any], items: Mapping[str, str]) -> bool:
    schemes = (said.get("metadata_scheme"), items.get("fooocus_scheme"))
    return "fooocus" in schemes or words(said.get("version")).startswith(PROGRAM)


def _networks(said: Mapping[str, Any]) -> dict[str, object]:
    """Names and weights, of the list in newer pictures or of numbered texts like `name.safetensors : 0.5`."""
    found: dict[str, object] = {}
    listed = said.get("loras")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, list) and len(one) >= 2:
            found[stem(one[0])] = one[1]
    for key, value in said.items():
        if key.startswith("lora_combined_"):
            name, _, weight = words(value).rpartition(" : ")
            found.setdefault(stem(name), weight)
    return found
