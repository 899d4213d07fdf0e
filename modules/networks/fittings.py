"""What networks need to know of one loaded model, made once and shared by all jobs that draw with it."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import Any

from modules.networks.rows import ModuleShelf
from modules.networks.words import Vocabulary


class Fittings:
    """The parts of a model that networks may change, by component name. Safe from any thread."""

    def __init__(self, denoiser: str, parts: Mapping[str, Any]) -> None:
        """`denoiser` names the part that denoises; the others are text encoders."""
        self.denoiser = denoiser
        self.parts = dict(parts)
        self.identity: Hashable = object()
        """Tells this model from every other, also from the same one loaded again."""
        self.vocabulary = Vocabulary()
        self.shelves = {name: ModuleShelf(part, denoiser=name == denoiser) for name, part in parts.items()}
        self.widths = {
            name: int(part.get_input_embeddings().weight.shape[1])
            for name, part in sorted(parts.items())
            if name != denoiser and str(getattr(part.config, "model_type", "")).startswith("clip")
        }
        """Width of the embeddings of each encoder that new words may stand in front of. T5 reads no new words."""

    def with_part(self, name: str, part: Any, shelf: ModuleShelf, identity: Hashable) -> Fittings:
        """The same with another encoder by that name, which `identity` tells from all others."""
        other = copy.copy(self)
        other.parts = {**self.parts, name: part}
        other.shelves = {**self.shelves, name: shelf}
        other.identity = (self.identity, identity)
        return other
