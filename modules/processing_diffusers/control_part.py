"""ControlNets and adapters of a job: leased from a pool, called through the multiplexer."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modules.contracts.control import MOST_UNITS
from modules.contracts.controls import FLUX_TAGS, TAGS, ControlEntry, Controls
from modules.contracts.errors import UnknownModel, UnsupportedFeature
from modules.contracts.plan import ControlUse, GenerationPlan, PassPlan
from modules.control.image_prompt import ImagePrompter, check_layers, load_encoder, load_prompter, see_with
from modules.control.loading import LoadedControl, check_fit, load_control
from modules.control.redux import check_words, load_redux, see_parts_with, speak_with
from modules.memory.residency import ModelPool
from modules.processing_diffusers.inside.speaking import find_cross_attentions
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import target_of
from modules.sd_models.components import size_of
from modules.sd_models.faults import blaming
from modules.sd_models.scan import signature

POOL_BYTES = 8 << 30
"""Networks that no job uses go when all together are larger."""
KEPT = 8
"""Networks that stay in memory."""


@dataclass(frozen=True, eq=False, slots=True)
class ControlPart:
    """One loaded network with its place before the multiplexer, shared by lanes."""

    loaded: LoadedControl
    target: Target

    @property
    def config(self) -> Any:
        """The module's config."""
        return self.loaded.module.config


@dataclass(frozen=True, eq=False, slots=True)
class EncoderPart:
    """One loaded image encoder."""

    module: Any
    target: Target
    size_bytes: int


@dataclass(frozen=True, eq=False, slots=True)
class PromptPart:
    """One loaded IP-Adapter with the encoder that looks for it."""

    prompter: ImagePrompter
    target: Target
    encoder: EncoderPart


@dataclass(frozen=True, eq=False, slots=True)
class WordsPart:
    """One loaded Redux with the encoder that looks for it."""

    module: Any
    target: Target
    encoder: EncoderPart


class ControlShelf:
    """Leases ControlNets and adapters. Safe from several lanes."""

    def __init__(self, controls: Controls) -> None:
        self.controls = controls
        self._pool: ModelPool[object, ControlPart] = ModelPool(
            budget=POOL_BYTES, limit=KEPT, size_of=lambda part: part.loaded.size_bytes
        )
        self._prompters: ModelPool[object, ImagePrompter] = ModelPool(
            budget=POOL_BYTES, limit=KEPT, size_of=lambda part: size_of({"adapter": part})
        )
        self._reduxes: ModelPool[object, Any] = ModelPool(
            budget=POOL_BYTES, limit=KEPT, size_of=lambda part: size_of({"redux": part})
        )
        self._encoders: ModelPool[object, EncoderPart] = ModelPool(
            budget=POOL_BYTES, limit=KEPT, size_of=lambda part: part.size_bytes
        )

    @contextlib.contextmanager
    def lease(self, plan: GenerationPlan, model: DrawingModel) -> Iterator[JobControls]:
        """All networks of a plan, until the block ends. Raises `BrokenModel` or `UnsupportedFeature`."""
        with contextlib.ExitStack() as stack:
            parts: dict[int, ControlPart] = {}
            prompts: dict[int, PromptPart] = {}
            words: dict[int, WordsPart] = {}
            crossings: dict[int, ControlPart] = {}
            for use in plan.controls:
                if not use.unit.acts or use.entry is None:
                    continue
                if use.entry.kind == "ip_adapter":
                    prompts[use.number] = self._lease_prompter(use.entry, model, plan.model.name, stack)
                elif use.entry.kind == "redux":
                    words[use.number] = self._lease_words(use.entry, model, plan.model.name, stack)
                else:
                    found = crossings if use.entry.kind == "controlnet_xs" else parts
                    part = found[use.number] = stack.enter_context(self._lease_one(use.entry, model))
                    check_fit(part.loaded, model.loaded.components[model.family.denoiser], plan.model.name)
            yield JobControls(plan, parts, prompts, words, self.controls, crossings)

    def _lease_prompter(
        self, entry: ControlEntry, model: DrawingModel, name: str, stack: contextlib.ExitStack
    ) -> PromptPart:
        """An IP-Adapter that fits the model, and its encoder, until the stack ends."""
        placement = model.placement["denoiser"]

        def read() -> ImagePrompter:
            with blaming(entry.name, "weights"):
                return load_prompter(entry.path, placement)

        key, encoder = self._lease_encoder(entry, model, see_with, stack)
        prompter = stack.enter_context(self._prompters.lease(key, read, expected=entry.size_bytes))
        shelf = model.fittings.shelves[model.fittings.denoiser]
        attentions = [shelf.layers[path] for path in find_cross_attentions(shelf)]
        check_layers(prompter, attentions, entry.name, name)
        return PromptPart(prompter, Target("image_prompt", prompter, prompter, ("seen",)), encoder)

    def _lease_words(
        self, entry: ControlEntry, model: DrawingModel, name: str, stack: contextlib.ExitStack
    ) -> WordsPart:
        """A Redux that fits the model, and its encoder, until the stack ends."""
        placement = model.placement["denoiser"]
        key, encoder = self._lease_encoder(entry, model, see_parts_with, stack)
        module = stack.enter_context(
            self._reduxes.lease(key, lambda: load_redux(entry, placement), expected=entry.size_bytes)
        )
        check_words(module, model.loaded.components[model.family.denoiser], entry.name, name)
        return WordsPart(module, Target("image_prompt", speak_with(module), module, ("seen",)), encoder)

    def _lease_encoder(
        self, entry: ControlEntry, model: DrawingModel, see: Callable[[Any], Any], stack: contextlib.ExitStack
    ) -> tuple[object, EncoderPart]:
        """The encoder of an image prompt until the stack ends, with the key under which the prompt itself is kept;
        `see` makes the function by which it looks."""
        placement, folder = model.placement["denoiser"], entry.encoder
        assert folder is not None  # one without is not found

        def look() -> EncoderPart:
            module = load_encoder(folder, placement)
            target = Target("image_encoder", see(module), module, ("pixels",))
            return EncoderPart(module, target, size_of({"encoder": module}))

        try:
            own, encoder = signature(entry.path)[0], signature(folder)[0]
        except OSError:
            raise UnknownModel(f"The image prompt {entry.name} or its encoder is not there any more.") from None
        key = (placement.device, placement.dtype)
        return (own, *key), stack.enter_context(self._encoders.lease((encoder, *key), look, expected=0))

    def _lease_one(self, entry: ControlEntry, model: DrawingModel) -> contextlib.AbstractContextManager[ControlPart]:
        placement = model.placement["denoiser"]

        def load() -> ControlPart:
            loaded = load_control(entry, placement)
            if loaded.kind == "t2i_adapter":
                return ControlPart(loaded, target_of(loaded.module, "control"))
            if loaded.kind == "controlnet_xs":  # all but its first layers computes within the denoiser's own call
                return ControlPart(loaded, target_of(loaded.module.controlnet_cond_embedding, "control"))
            if loaded.beside is None:  # those of UNets read the text as these do
                return ControlPart(
                    loaded, target_of(loaded.module, "control", stepped=True, repeated="encoder_hidden_states")
                )
            # It is called as the transformer is, whose adapter knows how.
            plain = target_of(loaded.module, "control", stepped=True)
            return ControlPart(loaded, replace(plain, function=functools.partial(model.adapter.run, loaded.module)))

        try:
            sign, _ = signature(entry.path)
        except OSError:
            raise UnknownModel(f"The ControlNet {entry.name} is not there any more.") from None
        return self._pool.lease((sign, placement.device, placement.dtype), load, expected=entry.size_bytes)

    def empty(self) -> None:
        """Let go of all networks that no job uses."""
        for pool in (self._pool, self._prompters, self._reduxes, self._encoders):
            pool.evict_all()
        self.controls.empty()


@dataclass(frozen=True, slots=True)
class JobControls:
    """The units of one job, with what they were found to be."""

    plan: GenerationPlan
    parts: Mapping[int, ControlPart]
    """By number of the unit."""
    prompts: Mapping[int, PromptPart]
    """The IP-Adapters, by number of the unit."""
    words: Mapping[int, WordsPart]
    """The Reduxes, by number of the unit."""
    catalog: Controls
    crossings: Mapping[int, ControlPart] = field(default_factory=dict)
    """The ControlNet-XS, by number of the unit."""

    @property
    def size_bytes(self) -> int:
        """Of all networks and image encoders, each once."""
        sizes = {id(part): part.loaded.size_bytes for part in (*self.parts.values(), *self.crossings.values())}
        for part in self.prompts.values():
            sizes[id(part.prompter)] = size_of({"adapter": part.prompter})
            sizes[id(part.encoder)] = part.encoder.size_bytes
        for words in self.words.values():
            sizes[id(words.module)] = size_of({"redux": words.module})
            sizes[id(words.encoder)] = words.encoder.size_bytes
        return sum(sizes.values())

    @property
    def looking_bytes(self) -> int:
        """Of the networks that make maps of the units' pictures, by their files, each once."""
        entries = [self.catalog.find_preprocessor(use.module) for use in self.plan.controls if use.unit.acts]
        places = {place for entry in entries for place in (entry.weights, entry.finder) if place is not None}
        return sum(signature(place)[1] for place in places if place.exists())

    def acting(self, pass_plan: PassPlan) -> Iterator[tuple[ControlUse, ControlPart]]:
        """Those that steer that pass by a network."""
        for use in pass_plan.controls:
            if use.number in self.parts:
                yield use, self.parts[use.number]

    def crossing(self, pass_plan: PassPlan) -> Iterator[tuple[ControlUse, ControlPart]]:
        """The ControlNet-XS of that pass."""
        for use in pass_plan.controls:
            if use.number in self.crossings:
                yield use, self.crossings[use.number]

    def speaking(self, pass_plan: PassPlan) -> Iterator[tuple[ControlUse, PromptPart]]:
        """The IP-Adapters of that pass."""
        for use in pass_plan.controls:
            if use.number in self.prompts:
                yield use, self.prompts[use.number]

    def wording(self, pass_plan: PassPlan) -> Iterator[tuple[ControlUse, WordsPart]]:
        """The Reduxes of that pass."""
        for use in pass_plan.controls:
            if use.number in self.words:
                yield use, self.words[use.number]

    def references(self, pass_plan: PassPlan) -> Iterator[ControlUse]:
        """Those whose pictures are looked at in that pass."""
        return (use for use in pass_plan.controls if use.unit.acts and use.entry is None)

    def condition_of(self, use: ControlUse) -> int:
        """Which condition of a union ControlNet the unit's preprocessor makes; raises `UnsupportedFeature` where the
        network has none such."""
        part = self.parts[use.number]
        flux = part.loaded.beside == "flux"
        there, known = (part.config["num_mode"], FLUX_TAGS) if flux else (part.config["num_control_type"], TAGS)
        # What comes ready made is told by nothing; most of it is drawn lines.
        tags = self.catalog.find_preprocessor(use.module).tags or ("Canny",)
        found = next((known[tag] for tag in reversed(tags) if tag in known), there)
        if found >= there:
            name = part.loaded.entry.name
            raise UnsupportedFeature(f"The union ControlNet {name} has no condition for the preprocessor {use.module}.")
        return int(found)

    def describe(self) -> list[dict[str, Any]]:
        """For the recipe: every unit with all that it was used with, its picture left out."""
        return [
            {
                "unit": use.number,
                "model": use.entry.title if use.entry else None,
                "kind": use.entry.kind if use.entry else "reference",
                "module": use.module,
                "weight": use.unit.weight,
                "resize_mode": use.unit.resize_mode,
                "guidance": [use.unit.guidance_start, use.unit.guidance_end],
                "control_mode": use.unit.control_mode,
                "hr_option": use.unit.hr_option,
                "processor_res": use.unit.hint.processor_res,
                "thresholds": [use.unit.hint.threshold_a, use.unit.hint.threshold_b],
                "blocks": use.unit.hint.blocks,
                "pixel_perfect": use.unit.hint.pixel_perfect,
                "image": "given" if use.unit.image else None,
                "mask": "given" if use.unit.mask else None,
            }
            for use in self.plan.controls
            if use.number < MOST_UNITS
        ]
