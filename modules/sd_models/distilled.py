"""Checkpoints that were distilled to few steps: what they are best drawn with where nobody says it.

Turbo is adversarial diffusion distillation (arXiv:2311.17042), Lightning progressive adversarial distillation
(arXiv:2402.13929), LCM latent consistency (arXiv:2310.04378). Twenty steps and a CFG scale of 7 suit what they were
made of and burn the pictures of all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STEPS = re.compile(r"(\d{1,2})[ _-]?steps?(?![a-z])", re.IGNORECASE)
MOST_STEPS = 16
"""That a name may say; a model of more is none of few."""
FEW: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "turbo": {"sampler": "Euler a", "scheduler": "SGM Uniform", "steps": 4, "cfg_scale": 1.0},
        "lightning": {"sampler": "Euler", "scheduler": "SGM Uniform", "steps": 4, "cfg_scale": 1.0},
        "lcm": {"sampler": "LCM", "scheduler": "SGM Uniform", "steps": 4, "cfg_scale": 1.0},
    }
)
"""What their authors draw with: schedules that end on the last step (`trailing`), and no guidance."""
SAID_BY = ("metadata_title", "metadata_architecture")
"""Facts of a file in which its kind stands. Descriptions are left out: they also say what a model is not."""


def find_distilled(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a UNet of that name with those facts; empty where nothing says that it was distilled.

    Its scheduler is believed first, then its name, then what the file says of itself.
    """
    texts = (name, *(str(facts.get(key, "")) for key in SAID_BY))
    kind = _by_scheduler(facts) or next(filter(None, map(_by_words, texts)), None)
    if kind is None:
        return {}
    found = dict(FEW[kind])
    said = next(filter(None, map(_STEPS.search, texts)), None)
    if said is not None and 1 <= int(said[1]) <= MOST_STEPS:
        found["steps"] = int(said[1])
    return found


def _by_scheduler(facts: Mapping[str, Any]) -> str | None:
    name, spacing = facts.get("scheduler"), facts.get("timestep_spacing")
    if name == "LCMScheduler":
        return "lcm"
    return "turbo" if name == "EulerAncestralDiscreteScheduler" and spacing == "trailing" else None


def _by_words(text: str) -> str | None:
    """The first kind that stands in a text as a word, be it one of camel case."""
    return next((word for word in map(str.casefold, _WORD.findall(text)) if word in FEW), None)
