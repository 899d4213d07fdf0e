"""ControlNets beside a denoiser: for each of its calls, what they add to it, row by row.

Nothing is written into the denoiser: what is added travels with the call, so there is nothing to restore, and calls of
jobs with other units, weights or pictures are merged as long as what they add has the same shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from modules.contracts.control import BALANCED, CONTROL, ControlUnit
from modules.processing_diffusers.control_part import ControlPart
from modules.processing_diffusers.control_question import Question
from modules.processing_diffusers.image_words import ImageWords, add_words
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.networks_part import Clock
from modules.processing_diffusers.steering_tokens import TokenUnit
from modules.processing_diffusers.tiles import Window

SOFT = 0.825
"""Each block further from the middle counts that much of the one before it, where words are to matter more."""
SOFT_ADAPTER = (0.25, 0.62, 0.825, 1.0)
"""The same for the levels of an adapter. Both are sd-webui-controlnet's."""


@dataclass(frozen=True, eq=False, slots=True)
class SteeredUnit:
    """One unit, ready for one pass. Tensors are fp32 on the denoiser's device, one row for each picture."""

    unit: ControlUnit
    part: ControlPart
    hint: torch.Tensor
    """(pictures, 3, height, width): 0 to 1, -1 where an inpaint ControlNet fills in."""
    region: torch.Tensor | None = None
    """(pictures, 1, height, width): 1 where the unit acts; None is everywhere."""
    condition: int = 0
    """Of a union ControlNet, which of its conditions the hint is."""

    @property
    def bound_only(self) -> bool:
        """It acts on the rows of the prompt and leaves those of the negative prompt alone."""
        pooled = self.part.loaded.kind != "t2i_adapter" and bool(self.part.config["global_pool_conditions"])
        return pooled or self.unit.control_mode == CONTROL

    def only(self, place: int) -> SteeredUnit:
        """For one picture of the batch."""
        row = slice(place, place + 1)
        return replace(self, hint=self.hint[row], region=None if self.region is None else self.region[row])

    def within(self, window: Window, factor: int) -> SteeredUnit:
        """For one tile of the canvas."""
        region = None if self.region is None else window.cut(self.region, factor)
        return replace(self, hint=window.cut(self.hint, factor), region=region)

    def scales(self, count: int) -> list[float]:
        """By how much each of `count` blocks counts, the middle one last."""
        weight, adapter = self.unit.weight, self.part.loaded.kind == "t2i_adapter"
        if self.unit.control_mode == BALANCED:
            return [weight] * count
        if adapter:
            return [weight * share for share in SOFT_ADAPTER[-count:]]
        return [weight * SOFT ** (count - 1 - place) for place in range(count)]

    def scaled(self, blocks: Sequence[torch.Tensor], pictures: torch.Tensor) -> list[torch.Tensor]:
        """What the network said for rows of those pictures, weighed, and nothing outside of the region."""
        found = []
        for block, scale in zip(blocks, self.scales(len(blocks)), strict=True):
            block = block * scale
            if self.region is not None and block.shape[-2:] != (1, 1):
                shrunk = torch.nn.functional.interpolate(self.region, size=block.shape[-2:], mode="area")
                block = block * shrunk.to(block)[pictures]
            found.append(block)
        return found

    def answer(self, question: Question) -> list[torch.Tensor]:
        """What a ControlNet says of the chosen rows of a call: one tensor for each block, the middle one last."""
        config = self.part.config
        sizes = () if config["addition_embed_type"] is None else ("added_cond_kwargs",)
        arguments = question.pick("sample", "timestep", "encoder_hidden_states", *sizes)
        # A denoiser for inpainting sees mask and masked picture behind the latents.
        arguments["sample"] = arguments["sample"][:, : config["in_channels"]]
        hint = self.hint[question.pictures].to(question.dtype)
        if self.part.loaded.kind == "union":
            types = torch.zeros(
                len(question.chosen), config["num_control_type"], device=hint.device, dtype=question.dtype
            )
            types[:, self.condition] = 1.0
            more: dict[str, Any] = {
                "controlnet_cond": [hint],
                "control_type": types,
                "control_type_idx": [self.condition],
            }
        else:
            more = {"controlnet_cond": hint}
        down, middle = question.port.call(self.part.target, **arguments, **more, return_dict=False)
        return [*down, middle]


@dataclass(frozen=True, eq=False, slots=True)
class Steering:
    """All units of one pass of one lane. `clock` says how far the pass has come."""

    units: tuple[SteeredUnit | TokenUnit, ...]
    port: Port
    dtype: torch.dtype
    """What the networks compute in."""
    words: tuple[ImageWords, ...] = ()
    """Pictures that stand among the words of every call."""
    clock: Clock = field(default_factory=lambda: Clock(1))
    features: dict[int, list[torch.Tensor]] = field(default_factory=dict)
    """What each adapter says of its hint, by place of its unit; it is asked once a pass."""

    def only(self, place: int) -> Steering:
        """For one picture of the batch."""
        words = tuple(one.only(place) for one in self.words)
        return replace(self, units=tuple(unit.only(place) for unit in self.units), words=words, features={})

    def within(self, window: Window, factor: int) -> Steering:
        """For one tile of the canvas."""
        units = tuple(unit.within(window, factor) for unit in self.units)
        patches = tuple(one for one in self.port.patches if not getattr(one, "whole", False))
        return replace(self, units=units, features={}, port=replace(self.port, patches=patches))

    def timed(self, clock: Clock) -> Steering:
        """The same, going by that clock."""
        return replace(self, clock=clock)

    def residuals(self, given: Mapping[str, Any], rows: Sequence[int], total: int) -> dict[str, Any]:
        """Further arguments of a call of the denoiser with the arguments `given`; none outside of all units' spans.

        `rows` says which of the pipeline's `total` rows each sample is: a multiple of the pictures, those of the prompt
        last.
        """
        done = self.clock.done / max(self.clock.steps, 1)
        worded = add_words(given, self.words, rows, done)
        given = {**given, **worded}
        sums: dict[str, list[torch.Tensor]] = {}
        for place, unit in enumerate(self.units):
            if not unit.unit.guidance_start <= done < unit.unit.guidance_end:
                continue
            count = unit.hint.shape[0]
            chosen = [
                number for number, row in enumerate(rows) if not unit.bound_only or row // count == total // count - 1
            ]
            if not chosen:
                continue
            pictures = torch.tensor([rows[number] % count for number in chosen], device=unit.hint.device)
            question = Question(given, chosen, len(rows), pictures, self.port, self.dtype)
            said = unit.say(question) if isinstance(unit, TokenUnit) else self._ask(place, unit, question)
            for key, found in said.items():
                known, more = sums.get(key), question.spread(found)
                sums[key] = more if known is None else [a + b for a, b in zip(known, more, strict=True)]
        extra: dict[str, Any] = {**worded, **sums}
        if "down_block_additional_residuals" in sums:
            *down, middle = sums["down_block_additional_residuals"]
            extra |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return extra

    def _ask(self, place: int, unit: SteeredUnit, question: Question) -> dict[str, list[torch.Tensor]]:
        """What the unit at that place says beside a UNet."""
        if unit.part.loaded.kind == "t2i_adapter":
            blocks = [block[question.pictures] for block in self._features(place, unit)]
            return {"down_intrablock_additional_residuals": unit.scaled(blocks, question.pictures)}
        return {"down_block_additional_residuals": unit.scaled(unit.answer(question), question.pictures)}

    def _features(self, place: int, unit: SteeredUnit) -> list[torch.Tensor]:
        """What an adapter says of the pictures' hints."""
        if place not in self.features:
            config, hint = unit.part.config, unit.hint.clamp(min=0)
            if config["in_channels"] == 1:
                hint = hint.mean(dim=1, keepdim=True)
            height, width = (-size % config["downscale_factor"] for size in hint.shape[-2:])
            hint = torch.nn.functional.pad(hint, (0, width, 0, height), mode="replicate").to(self.dtype)
            self.features[place] = list(self.port.call(unit.part.target, x=hint))
        return self.features[place]
