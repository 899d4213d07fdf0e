"""What a request is given before it is stored, so that each of its runs is the same."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

from modules.contracts.request import MAX_SEED, GenerationRequest


def with_own(request: GenerationRequest, settings: Mapping[str, Any]) -> GenerationRequest:
    """The request with its owner's settings, so that a later change of theirs touches later jobs only."""
    return dataclasses.replace(request, own=tuple({**settings, **dict(request.own)}.items())) if settings else request


def with_seeds(request: GenerationRequest) -> GenerationRequest:
    """The request with every seed of -1 drawn."""
    seeds = request.seeds
    drawn = {
        name: random.SystemRandom().randint(0, MAX_SEED) for name in ("seed", "subseed") if getattr(seeds, name) == -1
    }
    return dataclasses.replace(request, seeds=dataclasses.replace(seeds, **drawn)) if drawn else request
