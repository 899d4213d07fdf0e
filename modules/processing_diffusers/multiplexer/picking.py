"""Some rows of a call's arguments, in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from modules.processing_diffusers.multiplexer.call import is_batched


def pick(value: Any, sources: Sequence[int], given: int, name: str = "") -> Any:
    """An argument of a call of `given` rows with just those of its rows, in that order."""
    if isinstance(value, torch.Tensor):
        if not is_batched(name, value, given) or list(sources) == list(range(given)):
            return value
        return value[torch.tensor(sources, device=value.device)]
    if isinstance(value, Mapping):
        return {key: pick(item, sources, given, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(pick(item, sources, given, name) for item in value)
    return value
