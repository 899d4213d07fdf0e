"""What the page has to know of a model before anything is drawn: sizes, defaults, abilities, lists to choose from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.contracts.catalog import Catalog
from modules.contracts.detailer import MASK
from modules.contracts.detectors import Detectors
from modules.contracts.enlarging import NOTHING
from modules.contracts.errors import StudioError
from modules.contracts.prompts import PromptShelf

Choices = list[tuple[str, str]]
NO_MODEL = ("None", "")
"""Stands before the models where none need be chosen."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of one model, or of none when the catalogue has nothing usable."""

    name: str | None = None
    native: int = 512
    """Side in pixels at which it draws best."""
    multiple: int = 8
    """Width and height have to be multiples of this many pixels."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The model's or else the family's `sampler`, `scheduler`, `steps`, `cfg_scale`."""
    capabilities: frozenset[str] | None = None
    """The family's words; None when there is no model, and then nothing is hidden."""
    problem: str | None = None
    """Why there are no facts, as one sentence."""

    def can(self, capability: str) -> bool:
        """Whether the page should offer it."""
        return self.capabilities is None or capability in self.capabilities


def facts_of(catalog: Catalog, name: str | None) -> ModelFacts:
    """Facts of the model of that name, or of the default one. Never raises `StudioError`: a problem is a fact too."""
    try:
        entry = catalog.find_model(name or None)
    except StudioError as error:
        return ModelFacts(problem=error.message)
    if entry.family is None:
        return ModelFacts(name=entry.name, native=entry.native_size, problem=entry.problem)
    family = catalog.family(entry.family).drawn_with(entry)
    return ModelFacts(
        name=entry.name,
        native=entry.native_size,
        multiple=family.size_multiple,
        defaults=family.defaults,
        capabilities=family.capabilities,
    )


def choices_of(catalog: Catalog, kind: str) -> Choices:
    """Pairs of words shown and value sent for a catalogue list that a declaration names."""
    if kind == "models":
        return [(entry.title, entry.name) for entry in catalog.models() if entry.problem is None]
    if kind == "samplers":
        return [("Automatic", ""), *((entry.name, entry.name) for entry in catalog.samplers())]
    if kind == "schedulers":
        return [(entry.label, entry.label) for entry in catalog.schedulers()]
    if kind == "upscalers":
        return [(entry.name, entry.name) for entry in catalog.upscalers() if entry.problem is None]
    if kind == "restorers":
        usable = (entry.name for entry in catalog.restorers() if entry.problem is None)
        return [(name, name) for name in (NOTHING, *usable)]
    if kind == "vaes":
        return [("Automatic", ""), *((entry.name, entry.name) for entry in catalog.vaes() if entry.problem is None)]
    if kind == "text_encoders":
        usable = (entry.name for entry in catalog.text_encoders() if entry.problem is None)
        return [("Automatic", ""), *((name, name) for name in usable)]
    raise ValueError(f"The catalogue has no list {kind!r}.")


def detector_choices(detectors: Detectors) -> Choices:
    """Names of detectors that can be used without a mask, as words shown and value sent."""
    usable = (entry.name for entry in detectors.entries() if entry.problem is None and entry.name != MASK)
    return [NO_MODEL, *((name, name) for name in usable)]


def restorer_choices(catalog: Catalog) -> Choices:
    """Names of face restorers that can be used, as words shown and value sent."""
    usable = (entry.name for entry in catalog.restorers() if entry.problem is None)
    return [("Automatic", ""), *((name, name) for name in usable)]


def style_choices(prompts: PromptShelf) -> Choices:
    """Names of styles, as words shown and value sent."""
    return [(style.name, style.name) for style in prompts.styles()]


def size_for(aspect: str, facts: ModelFacts) -> tuple[int, int]:
    """Width and height of that aspect with about the native number of pixels, in the family's multiples."""
    wide, high = (int(part) for part in aspect.split(":"))
    side = facts.native * facts.native

    def fit(length: float) -> int:
        return max(facts.multiple, round(length / facts.multiple) * facts.multiple)

    return fit(math.sqrt(side * wide / high)), fit(math.sqrt(side * high / wide))
