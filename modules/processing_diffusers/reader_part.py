"""A separate text encoder before which the multiplexer stands, and a model that reads its prompts with it."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field, replace
from typing import Any

from modules.contracts.catalog import FileEntry
from modules.contracts.plan import Placement
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.embeddings import EmbeddingCache
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import target_of
from modules.sd_models.hashes import hash_model
from modules.sd_models.text_encoder import load_text_encoder
from modules.support.tally import Tally


@dataclass(frozen=True, slots=True)
class ReaderPart:
    """A text encoder in place of one of a model's own. Made once for a loaded model; shared by lanes.

    It is a target of its own, so its calls are never merged with those of the encoder that it stands for, and what it
    read is kept apart from what that one read.
    """

    entry: FileEntry
    place: str
    """The model's part that it stands for."""
    module: Any
    sha256: str | None
    target: Target
    shelf: ModuleShelf
    embeddings: EmbeddingCache
    identity: object = field(default_factory=object)

    @property
    def size_bytes(self) -> int:
        """Bytes of its weights."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.module.state_dict().values())


def load_reader(entry: FileEntry, model: DrawingModel, placement: Placement, texts: Tally) -> ReaderPart:
    """The encoder of `entry` for that model. Raises as `load_text_encoder` does."""
    place, module = load_text_encoder(entry, model.loaded.components, model.family, placement)
    target = target_of(module, place)
    target = replace(target, function=functools.partial(model.adapter.hear, module))
    shelf = ModuleShelf(module, denoiser=False)
    return ReaderPart(entry, place, module, hash_model(entry.path), target, shelf, EmbeddingCache(tally=texts))


def reading_with(model: DrawingModel, part: ReaderPart) -> DrawingModel:
    """The model for a job that has that encoder: everything but what reads prompts is shared with `model`."""
    view = copy.copy(model)
    view.loaded = replace(model.loaded, components={**model.loaded.components, part.place: part.module})
    view.text_encoders = {**model.text_encoders, part.place: part.target}
    view.fittings = model.fittings.with_part(part.place, part.module, part.shelf, part.identity)
    view.embeddings = part.embeddings
    view.reader = part.entry, part.sha256
    return view
