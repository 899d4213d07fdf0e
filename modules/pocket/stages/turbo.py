"""Stage "turbo": pocket-turbo, pocket-mmdit distilled to four steps, guidance included.

Progressive distillation (arXiv:2202.00512) taken in one go, with guidance folded in as in arXiv:2210.03142. The way
from noise to picture is cut at the four times at which the sampler will stand. From a latent at the beginning of one
stretch the teacher walks to its end in several guided steps, and the student learns to get there in one of Euler's
steps without guidance. That is plain regression on a target without noise, so it learns fast from few pictures; nothing
is learned about other step counts. In every second step the latents are those that the student itself arrives at, so
that its own small errors are among what it learns to continue from.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.stages.flow import SHIFT, CountedAttention, mix, walk
from modules.pocket.stages.joint import Drawn, build_scheduler, write_joint
from modules.pocket.stages.lesson import Lesson, Plan, guided, velocity_of
from modules.pocket.stages.scenery import Make, scene_batches
from modules.pocket.stages.transformer import GUIDANCE, load_transformer
from modules.pocket.stages.words import PADDING, Words
from modules.training.journal import Budget

NAME = "turbo"
STEPS = 4
TEACHER_STEPS = 5
"""Guided steps of the teacher for each one of the student."""
SCHEDULER = {"shift": SHIFT, "shift_terminal": 0.5}
"""Ends the schedule's last step but one at 0.5; otherwise diffusers spends a step on the last hundredth."""
DROP = 0.05
RATES = (0.003, 3e-4)
ABOUT = (
    "pocket-turbo draws in four steps without guidance (CFG 1). It is pocket-mmdit distilled: each step was trained to "
    "reach in one what its teacher reaches in five guided ones (progressive distillation, arXiv:2202.00512, with "
    "guidance folded in, arXiv:2210.03142). Negative prompts therefore have no effect, and other numbers of steps than "
    "four were not trained. The layout is that of Stable Diffusion 3; both CLIP encoders are the same small network, "
    "and T5 is an empty one that only ever says zeros. It knows only the scenes that the project renders."
)


def stops() -> torch.Tensor:
    """The STEPS + 1 falling times at which the exported model's scheduler stands, the last one 0."""
    scheduler = build_scheduler(SCHEDULER)
    scheduler.set_timesteps(STEPS)
    times: torch.Tensor = scheduler.sigmas
    return times


def train_turbo(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    plan: Plan | None = None,
    network: Any = None,
    makers: tuple[Make, Make] | None = None,
) -> dict[str, float]:
    """Trains until the budget or `plan.max_steps` end, resuming from `folder`/turbo.pt; returns the last figures.

    The teacher is what the stage "transformer" has come to (averaged weights). `network`, a fresh one of the teacher's
    layout, and `makers` stand in for the family's own. Raises FileNotFoundError where that stage has not been run.
    """
    plan = plan or Plan()
    teacher = load_transformer(folder, network=network).to(plan.device)
    teacher.set_attn_processor(CountedAttention(PADDING))
    lesson = Lesson(NAME, folder, copy.deepcopy(teacher).requires_grad_(True), plan, RATES)
    student, empty, times = lesson.loop.module, lesson.empty(), stops().to(plan.device)
    lesson.show(times, 1.0)

    def loss(clean: torch.Tensor, words: Words, lot: np.random.Generator) -> torch.Tensor:
        stretch = torch.from_numpy(lot.permutation(len(clean)) % STEPS).to(clean.device)
        noise = torch.randn_like(clean)
        if lot.random() < 0.5:
            start = arrive(student, words, noise, times, stretch)
        else:
            start = mix(clean, noise, times[stretch])
        wanted = mean_velocity(teacher, words, empty, start, times, stretch)
        said = velocity_of(student, words)(start, times[stretch])
        return (said - wanted).square().mean()

    batches = makers or scene_batches(folder, plan.sides, plan.batch, DROP)
    return lesson.run(loss, batches, budget, total_seconds)


@torch.no_grad()
def arrive(student: Any, words: Words, noise: torch.Tensor, times: torch.Tensor, stretch: torch.Tensor) -> torch.Tensor:
    """Where the student comes from `noise` by its own steps, each picture at the beginning of its `stretch` (n,)."""
    latents = noise.clone()
    for step in range(int(stretch.max())):
        moving = torch.nonzero(stretch > step)[:, 0]
        here = velocity_of(student, words.part(moving))
        latents[moving] = walk(here, latents[moving], times[step : step + 2])
    return latents


@torch.no_grad()
def mean_velocity(
    teacher: Any, words: Words, empty: Words, start: torch.Tensor, times: torch.Tensor, stretch: torch.Tensor
) -> torch.Tensor:
    """The constant velocity that leads from `start` to where the guided teacher comes at the end of each stretch."""
    here, there = times[stretch], times[stretch + 1]
    shares = torch.linspace(0, 1, TEACHER_STEPS + 1, device=start.device)[:, None]
    end = walk(guided(teacher, words, empty, GUIDANCE), start, here + shares * (there - here))
    return (end - start) / (there - here)[:, None, None, None]


def export_turbo(folder: Path, target: Path, network: Any = None) -> int:
    """Writes pocket-turbo as a diffusers folder in float16 into `target`; as `export_transformer`."""
    drawn = Drawn("pocket-turbo", ABOUT, SCHEDULER, STEPS, 1.0)
    return write_joint(folder, target, NAME, load_transformer(folder, NAME, network), drawn)
