"""Pictures that a drawing looks at: each of the denoiser's calls has further samples, made of them, beside its own.

A further sample is the reference with the noise of the call's time step and the words of the sample that looks at it.
Calls of jobs with other references, or with none, are merged with it as all calls are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from modules.contracts.control import CONTROL, PROMPT, REFERENCE_ADAIN, REFERENCE_ONLY, ControlUnit
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.cross_units import CrossUnit, crossings_at
from modules.processing_diffusers.image_prompts import ImagePrompt, speeches_at
from modules.processing_diffusers.inside.crossing import RowCrossings
from modules.processing_diffusers.inside.references import RowReferences, SharePlaces, find_places
from modules.processing_diffusers.inside.sharing import Look
from modules.processing_diffusers.inside.speaking import RowSpeeches
from modules.processing_diffusers.multiplexer.picking import pick
from modules.processing_diffusers.networks_part import Clock
from modules.processing_diffusers.noise import make_generator
from modules.processing_diffusers.tiles import Window

STYLE, CONTENT = "style", "content"
"""What a reference is looked at for that is no unit's: its look alone, or the places of things in it."""
BESIDE = ("down_block_additional_residuals", "down_intrablock_additional_residuals", "mid_block_additional_residual")
"""Arguments by which ControlNets steer a call; references are not steered."""


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """One unit with its picture, ready for one pass."""

    number: int
    unit: ControlUnit
    module: str
    """Its preprocessor's own name, `STYLE` or `CONTENT`."""
    latents: torch.Tensor
    """(pictures, C, H, W) in fp32 on the denoiser's device."""
    fidelity: float
    """Share of what they would be without the reference that rows of the negative prompt keep, 0 to 1; of a style and
    of a content, that all rows keep."""

    def looked_at(self, place: int, *, bound: bool) -> Look | None:
        """How a sample looks at the reference at that place of its call; `bound` ones are those of the prompt."""
        if self.module == STYLE:
            return Look(place, self.unit.weight, True, False, self.fidelity, aligned=True)
        if self.module == CONTENT:
            return Look(place, self.unit.weight, False, False, queries=1 - self.fidelity)
        keep = 0.0 if bound else self.fidelity
        if keep >= 1:
            return None
        attention, statistics = self.module != REFERENCE_ADAIN, self.module != REFERENCE_ONLY
        return Look(place, self.unit.weight, attention, statistics, keep)


def fidelity_of(unit: ControlUnit, given: float, *, sdxl: bool, hires: bool) -> float:
    """The style fidelity that a unit has where the number `given`, 0 to 1, is asked for: sd-webui-controlnet's rules.

    SDXL gets its third power. A control mode says it all: with "My prompt is more important", and in a hires pass, it
    is 0; with "ControlNet is more important" it is 1.
    """
    if unit.control_mode == CONTROL:
        return 1.0
    if unit.control_mode == PROMPT or hires:
        return 0.0
    return given**3 if sdxl else given


@dataclass(frozen=True, eq=False, slots=True)
class Referring:
    """All references, IP-Adapters and ControlNet-XS of one pass of one lane. `clock` says how far the pass has come."""

    shelf: ModuleShelf
    seeds: tuple[int, ...]
    """Of the pictures."""
    references: tuple[Reference, ...] = ()
    prompts: tuple[ImagePrompt, ...] = ()
    """The IP-Adapters."""
    levels: torch.Tensor | None = None
    """By time step, the share of the variance that is the picture's; needed where there are references."""
    clock: Clock = field(default_factory=lambda: Clock(1))
    known: list[SharePlaces] = field(default_factory=list)
    crossings: tuple[CrossUnit, ...] = ()
    """The ControlNet-XS."""

    def only(self, place: int) -> Referring:
        """For one picture of the batch."""
        rows = slice(place, place + 1)
        kept = tuple(replace(one, latents=one.latents[rows]) for one in self.references)
        prompts = tuple(one.only(place) for one in self.prompts)
        crossings = tuple(one.only(place) for one in self.crossings)
        return replace(self, seeds=self.seeds[rows], references=kept, prompts=prompts, crossings=crossings)

    @property
    def placed(self) -> bool:
        """There is something to look at, or to listen to."""
        return bool(self.references or self.prompts or self.crossings)

    def within(self, window: Window, factor: int) -> Referring:
        """For one tile of the canvas, which looks at the same part of each reference."""
        kept = tuple(replace(one, latents=window.cut(one.latents)) for one in self.references)
        prompts = tuple(one.within(window) for one in self.prompts)
        crossings = tuple(one.within(window) for one in self.crossings)
        return replace(self, references=kept, prompts=prompts, crossings=crossings)

    def timed(self, clock: Clock) -> Referring:
        """The same, going by that clock."""
        return replace(self, clock=clock)

    def join(
        self, given: Mapping[str, Any], rows: Sequence[int], total: int
    ) -> tuple[dict[str, Any], list[int], tuple[RowReferences, RowSpeeches, RowCrossings]]:
        """Arguments of a call with the references beside its samples, for each of these the place of the sample that
        looks at it, and the patches that let it look, be spoken to and be
        steered.

        `rows` says which of the pipeline's `total` rows each sample is: a multiple of the pictures, those of the prompt
        last.
        """
        done, count = self.clock.done / max(self.clock.steps, 1), len(self.seeds)
        beside: list[int] = []
        shown: list[Reference] = []
        looks: dict[int, list[Look]] = {}
        for one in self.references:
            if not one.unit.guidance_start <= done < one.unit.guidance_end:
                continue
            for place, row in enumerate(rows):
                look = one.looked_at(len(rows) + len(beside), bound=row // count == total // count - 1)
                if look is not None:
                    looks.setdefault(place, []).append(look)
                    beside.append(place)
                    shown.append(one)
        speeches = speeches_at(self.prompts, self.shelf, rows, count, total, done)
        crossings = crossings_at(self.crossings, self.shelf, rows, count, total, done)
        patches = RowReferences(self.shelf, self._places, looks), speeches, crossings
        if not beside:
            return dict(given), beside, patches
        sources = [*range(len(rows)), *beside]
        wider = {name: pick(value, sources, len(rows), name) for name, value in given.items()}
        for name in filter(wider.__contains__, BESIDE):
            wider[name] = _silenced(wider[name], len(rows))
        wider["sample"] = self._shown(wider, shown, [rows[place] % count for place in beside])
        return wider, beside, patches

    def _places(self) -> SharePlaces:
        if not self.known:
            self.known.append(find_places(self.shelf))
        return self.known[0]

    def _shown(self, wider: Mapping[str, Any], shown: Sequence[Reference], pictures: Sequence[int]) -> torch.Tensor:
        """The call's samples, the last of which are those references for those pictures, with the noise of their step.

        The noise follows from the picture's seed, the unit and the time step alone.
        """
        assert self.levels is not None  # given together with references
        sample = wider["sample"].clone()
        begin, channels = sample.shape[0] - len(shown), sample.shape[1]
        times = torch.as_tensor(wider["timestep"]).float().reshape(-1).expand(sample.shape[0])[begin:].round().long()
        for number, (one, picture, time) in enumerate(zip(shown, pictures, times.tolist(), strict=True)):
            clean, level = one.latents[picture], float(self.levels[min(max(time, 0), len(self.levels) - 1)])
            generator = make_generator(self.seeds[picture], f"reference {one.number} {time}")
            noise = torch.randn(clean.shape, generator=generator).to(clean.device)
            seen = level**0.5 * clean + (1 - level) ** 0.5 * noise
            if channels > seen.shape[0]:  # a denoiser for inpainting: there is nothing to be drawn anew
                seen = torch.cat([seen, torch.zeros_like(seen[:1]), clean])
            sample[begin + number] = seen.to(sample)
        return sample


def _silenced(residuals: Any, count: int) -> Any:
    """Residuals that say nothing to the samples past the first `count`."""
    if not isinstance(residuals, torch.Tensor):
        return [_silenced(one, count) for one in residuals]
    quiet = residuals.clone()
    quiet[count:] = 0
    return quiet
