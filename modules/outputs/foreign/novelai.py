"""NovelAI: the prompt in `Description`, the rest as JSON in `Comment`."""

from __future__ import annotations

from collections.abc import Mapping

from modules.outputs.foreign.base import Foreign, load_object, number, sampling, size, tell, words

PROGRAM = "NovelAI"


def read(items: Mapping[str, str], width: int, height: int) -> Foreign | None:
    """What such a picture says; None for any other, and where the comment is broken."""
    said = load_object(items["Comment"]) if items.get("Software") == PROGRAM and "Comment" in items else None
    if said is None:
        return None
    notes: list[str] = []
    chosen = sampling(said.get("sampler"), said.get("noise_schedule"), notes)
    fields = {
        "Steps": number(said.get("steps")),
        "Sampler": chosen.get("Sampler"),
        "Schedule type": chosen.get("Schedule type"),
        "CFG scale": number(said.get("scale")),
        "Seed": number(said.get("seed")),
        "Size": size(width, height),
        "Denoising strength": number(said.get("strength")),
        "Clip skip": 2,
    }
    prompt = words(items.get("Description")) or words(said.get("prompt"))
    return tell(PROGRAM, (prompt, words(said.get("uc"))), fields, notes)
