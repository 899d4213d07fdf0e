"""ControlNets beside a transformer: what they add to its tokens, block by block.

A network has fewer blocks than the transformer. Each of them speaks for a run of the transformer's (SD 3, Flux and
Qwen-Image as diffusers lays them out), or all of them speak in turn, over and over (XLabs' for Flux).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from modules.contracts.control import CONTROL, ControlUnit
from modules.processing_diffusers.control_part import ControlPart
from modules.processing_diffusers.control_question import Question
from modules.processing_diffusers.families.base import FamilyAdapter
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.tiles import Window

SD3_BLOCKS, BLOCKS, SINGLES = (
    "block_controlnet_hidden_states",
    "controlnet_block_samples",
    "controlnet_single_block_samples",
)
"""Arguments of the transformers' calls: of SD 3, of the others, and of those blocks of Flux that see one row of
tokens."""
USUAL_GUIDANCE = 3.5
"""What a network that wants a guidance is told beside a model that has none, as Flux.1 schnell."""
PATCH = 2
"""Latent cells along one side of a token."""
CELL = 8
"""Pixels along one side of a latent cell, in all families that have such networks."""


@dataclass(frozen=True, eq=False, slots=True)
class TokenUnit:
    """One unit, ready for one pass. Tensors are fp32 on the denoiser's device, one row for each picture."""

    unit: ControlUnit
    part: ControlPart
    hint: torch.Tensor
    """(pictures, C, H, W): latents of the picture, with a channel more where the network sees a mask; for networks
    that look at pixels those, -1 to 1."""
    layout: FamilyAdapter = field(repr=False)
    """How latents become tokens."""
    depths: tuple[int, int] = (0, 0)
    """Blocks of the transformer, of both kinds."""
    region: torch.Tensor | None = None
    """(pictures, 1, height, width) in pixels: 1 where the unit acts; None is everywhere."""
    condition: int = 0
    """Of a union ControlNet, which of its conditions the hint is."""
    alone: bool = True
    """No other unit of the pass speaks for other runs of blocks, so that one answer for each run is enough."""
    places: Target | None = None
    """Makes tokens of latents as the transformer does, for networks that do not."""

    @property
    def bound_only(self) -> bool:
        """It acts on the rows of the prompt and leaves those of the negative prompt alone."""
        return self.unit.control_mode == CONTROL

    @property
    def sees_pixels(self) -> bool:
        """The network looks at the picture itself and not at its latents."""
        return sees_pixels(self.part)

    def only(self, place: int) -> TokenUnit:
        """For one picture of the batch."""
        row = slice(place, place + 1)
        return replace(self, hint=self.hint[row], region=None if self.region is None else self.region[row])

    def within(self, window: Window, factor: int) -> TokenUnit:
        """For one tile of the canvas."""
        region = None if self.region is None else window.cut(self.region, factor)
        return replace(self, hint=window.cut(self.hint, factor if self.sees_pixels else 1), region=region)

    def say(self, question: Question) -> dict[str, list[torch.Tensor]]:
        """What is added to the chosen rows of a call, weighed, by the arguments that take it."""
        kind = self.part.loaded.beside
        if kind == "sd3":
            cells = question.given["hidden_states"].shape[-2:]
            (said,) = self._call_sd3(question)
            return {SD3_BLOCKS: self._weigh(said, question, cells, self.depths[0], even=True)}
        tokens = self._call_flux(question) if kind == "flux" else (self._call_qwen(question), None)
        cells = self._cells()
        return {
            key: self._weigh(said, question, cells, depth)
            for key, said, depth in zip((BLOCKS, SINGLES), tokens, self.depths, strict=True)
            if said is not None
        }

    def _cells(self) -> tuple[int, int]:
        """Height and width of what is drawn, in latent cells."""
        height, width = self.hint.shape[-2:]
        return (height // CELL, width // CELL) if self.sees_pixels else (height, width)

    def _call_sd3(self, question: Question) -> Any:
        config = self.part.config
        arguments = question.pick("hidden_states", "timestep", "encoder_hidden_states", "pooled_projections")
        latents = arguments["hidden_states"][:, : config["in_channels"]]
        if self.places is not None:
            latents = question.port.call(self.places, latents=latents)
        if config["joint_attention_dim"] is None:
            del arguments["encoder_hidden_states"]
        if config["force_zeros_for_pooled_projection"]:
            arguments["pooled_projections"] = torch.zeros_like(arguments["pooled_projections"])
        return self._ask(question, {**arguments, "hidden_states": latents}, self._hint(question))

    def _call_flux(self, question: Question) -> Any:
        config = self.part.config
        arguments = question.pick(
            *("hidden_states", "timestep", "encoder_hidden_states", "pooled_projections"),
            *("img_ids", "txt_ids", "guidance"),
        )
        # A denoiser for inpainting sees mask and masked picture behind the latents.
        drawn = arguments["hidden_states"][..., : config["in_channels"]]
        if not config["guidance_embeds"]:
            arguments.pop("guidance", None)
        elif "guidance" not in arguments:
            arguments["guidance"] = torch.full((len(drawn),), USUAL_GUIDANCE, device=drawn.device)
        hint = self._hint(question)
        if self.part.loaded.kind == "union":
            modes = torch.full((len(drawn), 1), self.condition, dtype=torch.long, device=drawn.device)
            arguments["controlnet_mode"] = modes
        if not self.sees_pixels:
            hint = self.layout.pack(hint)
        return self._ask(question, {**arguments, "hidden_states": drawn}, hint)

    def _call_qwen(self, question: Question) -> Any:
        arguments = question.pick(
            *("hidden_states", "timestep", "encoder_hidden_states", "encoder_hidden_states_mask", "img_shapes")
        )
        return self._ask(question, arguments, self.layout.pack(self._hint(question)))

    def _hint(self, question: Question) -> torch.Tensor:
        return self.hint[question.pictures].to(question.dtype)

    def _ask(self, question: Question, arguments: dict[str, Any], hint: torch.Tensor) -> Any:
        return question.port.call(self.part.target, **arguments, controlnet_cond=hint, return_dict=False)

    def _weigh(
        self,
        said: Sequence[torch.Tensor],
        question: Question,
        cells: tuple[int, int],
        depth: int,
        *,
        even: bool = False,
    ) -> list[torch.Tensor]:
        """The answers by the unit's weight, nothing outside of its region, and for all blocks where units differ."""
        blocks = [block * self.unit.weight for block in said]
        if self.region is not None:
            tokens = (cells[0] // PATCH, cells[1] // PATCH)
            shrunk = torch.nn.functional.interpolate(self.region, size=tokens, mode="area")
            share = shrunk.flatten(1).unsqueeze(-1)[question.pictures]
            blocks = [block * share.to(block) for block in blocks]
        if self.alone and not self.sees_pixels:
            return blocks
        return [blocks[place] for place in runs_of(len(blocks), depth, even=even, in_turn=self.sees_pixels)]


def runs_of(count: int, depth: int, *, even: bool = False, in_turn: bool = False) -> list[int]:
    """For each of a transformer's blocks, which of a network's speaks for it, as diffusers has it.

    With `even` runs may differ by one block, else all but the last are as long; `in_turn` has no runs.
    """
    if in_turn:
        return [place % count for place in range(depth)]
    if even:
        return [int(place / (depth / count)) for place in range(depth)]
    return [place // math.ceil(depth / count) for place in range(depth)]


def sees_pixels(part: ControlPart) -> bool:
    """Whether a network looks at the picture itself and not at its latents, as XLabs' do."""
    return part.loaded.beside == "flux" and part.config["conditioning_embedding_channels"] is not None
