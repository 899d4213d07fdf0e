"""What the two trainings in SD 3's layout share: plan, velocity of a network, the way through the loop, samples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modules.pocket.stages.flow import TICKS, CountedAttention, Velocity, walk
from modules.pocket.stages.pictures import SIDE
from modules.pocket.stages.scenery import Make, Supply, tokenize
from modules.pocket.stages.text import load_text
from modules.pocket.stages.words import PADDING, Words, say, with_projection
from modules.training.journal import Average, Budget
from modules.training.loop import Care, Loop
from modules.training.muon import Optimiser
from modules.training.precision import Precision
from modules.training.sheets import Samples

EDGES = ("pos_embed", "context_embedder", "time_text_embed", "norm", "proj_out")
"""What Muon leaves to Adam: the first and last layers and the modulation."""
SHOWN = (
    "a red circle on a white background",
    "a blue house on a green background",
    "a yellow star at the top on a black background",
    "two green fish on a blue background",
)
"""Prompts of the sample sheets."""

Loss = Callable[[torch.Tensor, torch.Tensor, Words, np.random.Generator], torch.Tensor]
"""From clean latents, token numbers, the words made of these, and chance, to the loss; torch's generator is set from
the step as well."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one of the networks trains; the defaults are those of the family."""

    batch: int = 64
    """Pictures of the smallest side a step."""
    sides: tuple[int, ...] = (SIDE // 2, SIDE)
    """Widths in pixels, rising; with one, all the training is at that side."""
    max_steps: int | None = None
    """Steps of this run; None: until the budget ends."""
    total_steps: int | None = None
    """If given, steps and not seconds decide on learning rate and side, and equal steps give equal weights."""
    device: str = "cpu"
    workers: int = 0
    """Processes that make batches."""
    samples_every_s: float = 600.0
    """Seconds between sample sheets; 0: none."""


def velocity_of(network: Any, words: Words) -> Velocity:
    """What the network says for these words, float32, in the precision that suits its device."""
    precision = Precision(str(words.tokens.device))

    def velocity(latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        with precision.autocast():
            said = network(
                hidden_states=latents,
                encoder_hidden_states=words.tokens,
                pooled_projections=words.pooled,
                timestep=times * TICKS,
                return_dict=False,
            )[0]
        answer: torch.Tensor = said.float()
        return answer

    return velocity


def guided(network: Any, words: Words, empty: Words, scale: float) -> Velocity:
    """Velocity with classifier-free guidance (arXiv:2207.12598), both sides in one call; `empty` is one text."""
    both = velocity_of(network, words.beside(empty.repeated(len(words))))

    def velocity(latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        wanted, plain = both(torch.cat([latents, latents]), torch.cat([times, times])).chunk(2)
        return plain + scale * (wanted - plain)

    return velocity


class Lesson:
    """One network in training, from its batches to its loss."""

    def __init__(self, name: str, folder: Path, network: Any, plan: Plan, rates: tuple[float, float]) -> None:
        """Resumes from `folder`/`name`.pt. `rates` are Muon's and Adam's.

        Raises FileNotFoundError where the stage "text" has not been run.
        """
        self.plan, self.folder = plan, folder
        self.encoder = with_projection(load_text(folder)[1]).to(plan.device)
        network = network.to(plan.device).train()
        network.set_attn_processor(CountedAttention(PADDING))
        self.loop = Loop(
            name,
            folder,
            network,
            Optimiser(network, *rates, edges=EDGES),
            Average(network, 0.999),
            care=Care(clip=1.0, scaler=Precision(plan.device).scaler, total_steps=plan.total_steps),
        )
        self.loop.resume()

    def empty(self) -> Words:
        """The words of the empty text."""
        return self.say_texts([""])

    def say_texts(self, texts: list[str]) -> Words:
        """The words of these texts."""
        return say(self.encoder, torch.from_numpy(tokenize(self.folder, texts)).to(self.plan.device))

    def show(self, times: torch.Tensor, guidance: float) -> None:
        """From now on sheets of SHOWN are drawn along `times`; `guidance` 1 is none."""
        from modules.pocket.stages.latents import whitened_vae

        if not self.plan.samples_every_s:
            return
        vae, loop, side = whitened_vae(self.folder).to(self.plan.device), self.loop, self.plan.sides[-1]
        words, empty = self.say_texts(list(SHOWN)), self.empty()
        velocity = velocity_of(loop.module, words) if guidance == 1 else guided(loop.module, words, empty, guidance)

        @torch.no_grad()
        def draw(_step: int) -> NDArray[np.uint8]:
            torch.manual_seed(0)
            noise = torch.randn(len(SHOWN), 4, side // 8, side // 8).to(self.plan.device)
            with loop.average.worn_by(loop.module):
                latents = walk(velocity, noise, times.to(self.plan.device))
            pictures = vae.decode(latents).sample.clamp(-1, 1).permute(0, 2, 3, 1)
            return np.asarray(((pictures + 1) * 127.5).round().byte().cpu().numpy())

        loop.samples = Samples(draw, self.folder / f"{loop.name}-samples", every_s=self.plan.samples_every_s)

    def run(self, loss: Loss, makers: tuple[Make, Make], budget: Budget, total_seconds: float) -> dict[str, float]:
        """Trains until the budget or the plan's steps end; returns the last figures."""
        plan, loop = self.plan, self.loop
        with ExitStack() as stack:
            supply = Supply(makers, plan.workers, stack)

            def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
                over = (loop.before + budget.spent) / total_seconds
                done = over if plan.total_steps is None else step / plan.total_steps
                latents, ids = (torch.from_numpy(each).to(plan.device) for each in supply.take(step, done))
                value = loss(latents.float(), ids, say(self.encoder, ids), np.random.default_rng([41, step]))
                return value, {"cells": float(latents.shape[-1])}

            return loop.run(loss_of, budget, total_seconds, plan.max_steps)
