"""What will be done: the request with nothing left open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.contracts.catalog import Family, FileEntry, ModelEntry, RestorerEntry, UpscalerEntry
from modules.contracts.control import NO_MODEL, ControlUnit
from modules.contracts.controls import ControlEntry
from modules.contracts.detailer import Detail
from modules.contracts.detectors import DetectorEntry
from modules.contracts.enlarging import EnlargedSize, EnlargeParams
from modules.contracts.features import ABILITY, USUAL, Shrink, factor_for
from modules.contracts.film import FilmPlan
from modules.contracts.networks import NetworkTag, NetworkUse
from modules.contracts.refiner import RefinerUse
from modules.contracts.request import GenerationRequest, Mode
from modules.contracts.style import SHARED, STATISTICS
from modules.contracts.tiles import TilePlan


@dataclass(frozen=True, slots=True)
class PictureWords:
    """What a picture's words are besides prompt and negative prompt, after styles, wildcards and choices.

    An empty text for a further encoder, or for the hires pass, means the one it would have without.
    """

    second: str = ""
    third: str = ""
    negative_second: str = ""
    negative_third: str = ""
    hires_prompt: str = ""
    hires_negative: str = ""
    template: str = ""
    """What the prompt was drawn from, where something was drawn."""
    negative_template: str = ""


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """One picture: its words and where its noise comes from."""

    index: int
    prompt: str
    """After styles, wildcards and choices, with the tags of extra networks in it."""
    negative: str
    seed: int
    subseed: int
    networks: tuple[NetworkTag, ...] = ()
    """What the prompt's tags ask for, in the order of the text."""
    hires_networks: tuple[NetworkTag, ...] = ()
    """The same for the hires pass; equal to `networks` where it has no prompt of its own."""
    uses: tuple[NetworkUse, ...] = ()
    """`networks` as they are found in the catalogue, with weights and all that was left open."""
    hires_uses: tuple[NetworkUse, ...] = ()
    """The same for the hires pass."""
    words: PictureWords = PictureWords()
    details: tuple[DetailPlan, ...] = ()
    """What is looked for in the finished picture and drawn once more, in order."""
    faces: FacePlan | None = None
    """How faces of the decoded picture are restored; None where they are as they were drawn."""


@dataclass(frozen=True, slots=True)
class SamplerPlan:
    """A sampler with its schedule and numbers, all known."""

    sampler: str
    """Display name, e.g. `DPM++ 2M`."""
    scheduler: str
    """Schedule label, e.g. `Karras`."""
    steps: int
    eta: float | None
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = float("inf")
    s_noise: float = 1.0
    second_order: bool = False
    """A1111 counts each of its steps twice where a prompt's words change with the steps."""

    def counts(self, steps: int) -> int:
        """How far A1111 counts in so many steps."""
        return 2 * steps if self.second_order else steps


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a pass, from step `begin` of those run to step `end`, both counted from 0."""

    sampler: SamplerPlan
    """With the steps of the whole schedule."""
    begin: int
    end: int
    refined: bool = False
    """The refiner draws it."""


@dataclass(frozen=True, slots=True)
class PassPlan:
    """One trip through the denoiser at one size."""

    width: int
    height: int
    sampler: SamplerPlan
    cfg_scale: float
    strength: float
    """1 starts from pure noise; less keeps that much of the picture it starts from."""
    run: int | None = None
    """Steps really run, counted from the end of the sampler's schedule; None is all of them."""
    upscaler: UpscalerEntry | None = None
    """What brings the first pass to this size, for the second; for the first, what SD upscale makes the picture larger
    by."""
    changes: tuple[Leg, ...] = ()
    """All parts of a pass in which something takes over; empty where one sampler draws it all."""
    controls: tuple[ControlUse, ...] = ()
    """The ControlNet units that are on for this pass, found in the catalogue."""
    refiner: RefinerUse | None = None
    """The model that takes over. Where it does is known once the schedule stands."""
    style: StyleUse | None = None
    """How the style picture is used; said of the first pass, and true of both."""
    tiles: TilePlan | None = None
    """None is for a canvas that the denoiser sees whole."""

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The parts of the pass in order, one at least."""
        return self.changes or (Leg(self.sampler, 0, self.steps),)

    @property
    def seen(self) -> tuple[int, int]:
        """Width and height that a call of the denoiser has."""
        return (self.width, self.height) if self.tiles is None else (self.tiles.width, self.tiles.height)

    @property
    def steps(self) -> int:
        """Steps really run."""
        return self.sampler.steps if self.run is None else self.run


@dataclass(frozen=True, slots=True)
class DetailPlan:
    """Regions of one picture that are drawn once more."""

    wanted: Detail
    detector: DetectorEntry
    paint: PassPlan
    """The pass that each region is drawn by."""
    words: tuple[PicturePlan | None, ...]
    """Words and seed for the first region, the second and so on, the last one for all that follow; None leaves a region
    as it is."""


@dataclass(frozen=True, slots=True)
class ControlUse:
    """A ControlNet unit with what its names mean."""

    number: int
    unit: ControlUnit
    entry: ControlEntry | None
    """None for a unit whose picture is looked at without a network."""
    module: str
    """The preprocessor's own name."""

    @property
    def named(self) -> ControlUnit:
        """The unit with the names in full."""
        return replace(self.unit, module=self.module, model=self.entry.title if self.entry else NO_MODEL)


@dataclass(frozen=True, slots=True)
class StyleUse:
    """A style picture with the way in which it is used."""

    method: str
    """One of `STYLE_METHODS`, never the automatic one."""
    entry: ControlEntry | None = None
    """The IP-Adapter of an image prompt."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a part of a model lives and in which precision it computes. Names as torch writes them."""

    device: str
    dtype: str


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Measures taken to fit, in order, with the predicted peak in bytes (None where nothing is known yet)."""

    measures: tuple[str, ...] = ()
    """Names such as `attention_slicing`, `vae_slicing`, `vae_tiling`, `model_offload`, `sequential_offload`."""
    predicted_peak: int | None = None
    max_batch: int = 16
    """Largest merged batch of the denoiser."""
    attention: str = "Automatic"
    """How attention is computed; Automatic is as the libraries choose."""
    compiled: bool = False
    """The denoiser's repeated blocks are compiled by torch."""


@dataclass(frozen=True, slots=True)
class SeparateParts:
    """Parts from files of their own; None is the model's own."""

    vae: FileEntry | None = None
    text_encoder: FileEntry | None = None


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """Seeds are ints, sizes fit the family, names are resolved, measures are chosen."""

    request: GenerationRequest
    model: ModelEntry
    family: Family
    parts: SeparateParts
    batches: tuple[tuple[PicturePlan, ...], ...]
    first: PassPlan
    hires: PassPlan | None
    placement: Mapping[str, Placement]
    """Per component group: `denoiser`, `text_encoder`, `vae`."""
    memory: MemoryPlan
    notes: tuple[str, ...] = ()
    """Sentences for the person, e.g. that a size was brought to a legal one."""
    encoded: tuple[tuple[int, int], ...] = ()
    """Width and height of each given picture for the VAE, where they are resized as latents; else empty."""
    film: FilmPlan | None = None
    """None for families that draw pictures."""

    @property
    def mode(self) -> Mode:
        """What it begins with."""
        return self.request.mode

    @property
    def style(self) -> StyleUse | None:
        """How the style picture is used; None without one."""
        return self.first.style

    @property
    def drawn(self) -> bool:
        """A model draws the pictures."""
        return self.style is None or self.style.method != STATISTICS

    @property
    def vae(self) -> FileEntry | None:
        """The separate VAE; None is the model's own."""
        return self.parts.vae

    @property
    def text_encoder(self) -> FileEntry | None:
        """The separate text encoder; None is the model's own."""
        return self.parts.text_encoder

    @property
    def crossed(self) -> bool:
        """A ControlNet-XS stands in every level of the denoiser."""
        acting = (use.entry for use in self.controls if use.unit.acts)
        return any(entry is not None and entry.kind == "controlnet_xs" for entry in acting)

    @property
    def shrink(self) -> Shrink | None:
        """`wished_shrink`; None where a ControlNet-XS knows the levels at their own size only."""
        return None if self.crossed else self.wished_shrink

    @property
    def wished_shrink(self) -> Shrink | None:
        """How the denoiser's deeper levels are scaled down in the first pass; None where they are not.

        Where the request leaves it open, pictures drawn from words well above the model's native size have it, if the
        family's defaults or the model's own say so: by as much as the picture's mean side is longer. Level and end that
        are left open are those of the defaults. A pass that begins behind the end has none.
        """
        wish, first, usual = self.request.features, self.first, self.family.defaults.get(USUAL)
        if ABILITY not in self.family.capabilities or first.tiles is not None:
            return None
        factor = wish.shrink
        if factor is None and usual is not None and self.mode == "txt2img":
            factor = factor_for(first.width, first.height, self.model.native_size)
        if factor is None or factor <= 1:
            return None
        shrink = replace(Shrink(factor), **(usual or {}))
        level = shrink.level if wish.shrink_level is None else wish.shrink_level
        shrink = replace(shrink, level=level, end=wish.shrink_end or shrink.end)
        return None if self._is_late(shrink.end) else shrink

    def _is_late(self, end: float) -> bool:
        """The first pass begins where that share of the schedule is over."""
        whole = self.first.sampler.steps
        return Shrink(1, end=end).steps(whole) <= whole - self.first.steps

    @property
    def style_rows(self) -> int:
        """Samples beside each row of a picture in a call of the first pass: its style, and its content."""
        if self.style is None or not self.drawn:
            return 0
        held = self.request.image is not None and self.request.style.content > 0
        return int(self.style.method == SHARED) + int(held)

    @property
    def pictures(self) -> tuple[PicturePlan, ...]:
        """All pictures over all batches."""
        return tuple(picture for batch in self.batches for picture in batch)

    @property
    def worded(self) -> tuple[PicturePlan, ...]:
        """All that has words and networks of its own: the pictures, and the regions that are drawn once more."""
        parts = (words for one in self.pictures for detail in one.details for words in detail.words)
        return (*self.pictures, *(words for words in parts if words is not None))

    @property
    def details(self) -> tuple[DetailPlan, ...]:
        """The details of the first picture: all pictures have the same ones, but for their words."""
        return self.pictures[0].details if self.batches and self.batches[0] else ()

    @property
    def faces(self) -> FacePlan | None:
        """How faces are restored, in all pictures alike; None where they are as they were drawn."""
        return self.pictures[0].faces if self.batches and self.batches[0] else None

    @property
    def controls(self) -> tuple[ControlUse, ...]:
        """The ControlNet units that are on for any pass, by number."""
        both = (*self.first.controls, *(self.hires.controls if self.hires else ()))
        return tuple({use.number: use for use in sorted(both, key=lambda use: use.number)}.values())

    @property
    def refiner(self) -> RefinerUse | None:
        """The model that takes over in any pass."""
        return self.first.refiner or (self.hires.refiner if self.hires else None)

    @property
    def refined(self) -> GenerationPlan | None:
        """The plan as its refiner sees it; None without one. Networks are for models of one family only."""
        use = self.refiner
        if use is None:
            return None
        batches = self.batches
        if use.family.id != self.family.id:
            batches = tuple(tuple(replace(one, uses=(), hires_uses=()) for one in batch) for batch in batches)
        return replace(self, model=use.model, family=use.family, batches=batches)

    @property
    def total_steps(self) -> int:
        """Denoiser steps over all batches and passes, for progress."""
        per_batch = self.first.steps + (self.hires.steps if self.hires else 0)
        per_batch += sum(detail.paint.steps for detail in self.details)
        per_batch += self.request.refiner.decoder_steps if self.family.decoder else 0
        return per_batch * len(self.batches)


@dataclass(frozen=True, slots=True)
class FacePlan:
    """How faces of finished pictures are restored: names are resolved."""

    restorer: RestorerEntry
    detector: DetectorEntry
    share: float
    """How much of a restored face shows, 0 to 1."""
    weight: float
    """Fidelity, for a CodeFormer."""


@dataclass(frozen=True, slots=True)
class EnlargePlan:
    """Pictures to be made larger: names are resolved, sizes are known."""

    wish: EnlargeParams
    means: tuple[tuple[UpscalerEntry, float], ...]
    """The upscalers, each with how much of it shows."""
    sizes: tuple[EnlargedSize, ...]
    """Of each picture as it comes out."""
    faces: FacePlan | None = None


Recipe = Mapping[str, Any]
"""The whole recipe of a picture, ready for JSON: hashes, versions, device, dtype and every resolved parameter."""
