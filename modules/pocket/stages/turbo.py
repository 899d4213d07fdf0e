"""Stage "turbo": `pocket-turbo`, the base distilled to four steps, guidance included.

Progressive distillation (arXiv:2202.00512) taken in one go, with guidance folded in as in arXiv:2210.03142. The way
from noise to picture is cut at the four timesteps at which DDIM will stand. From a latent at the beginning of one
stretch the teacher walks to its end in several guided steps, and the student learns to get there in one without
guidance. That is plain regression on a target without noise, so it learns fast from few pictures; nothing is learned
about other numbers of steps. No pictures are needed: every way begins in noise. In a part of the steps the stretches
begin where the student itself arrives, so that its own small errors are among what it learns to continue from.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.sampling import MODEL
from modules.pocket.scenes.captions import caption
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.stages.base import Base, open_base, plain_attention
from modules.pocket.stages.folders import replace_folder, write_card, write_pipeline
from modules.pocket.stages.pictures import SEED
from modules.pocket.stages.tuning import Arrays, Course, Tuning, run_course, texts_of, trained
from modules.training.journal import Budget
from modules.training.muon import Optimiser
from modules.training.precision import Precision

NAME = "turbo"
STEPS = 4
TEACHER_STEPS = 5
"""Guided steps of the teacher for each one of the student."""
GUIDANCE = 4.0
OWN_WAY = 0.6
"""Share of the steps that begin where the student arrives, not where the teacher does."""
EMPTY = 0.03
RATES = (3e-3, 3e-4)
"""Of Muon and of Adam."""
DEFAULTS = {"sampler": "DDIM", "scheduler": "Simple", "steps": STEPS, "cfg_scale": 1.0}
ABOUT = (
    "The pocket model distilled to four steps without guidance (CFG 1), in the layout of Stable Diffusion 1.5: each "
    "step was trained to reach in one what the pocket model reaches in five guided ones (progressive distillation, "
    "arXiv:2202.00512, with guidance folded in, arXiv:2210.03142). Negative prompts therefore have no effect. Other "
    "numbers of steps and other samplers than DDIM with trailing timesteps were not trained."
)

Guess = Callable[[torch.Tensor, int | torch.Tensor], torch.Tensor]
"""From latents (n, c, h, w) and a timestep, or (n,) of them, to what the denoiser says, in its own kind."""


def say_scene(number: int) -> str:
    """One wording of the family's scene of that number."""
    return caption(draw_scene(SEED, number), np.random.default_rng([number, 43])).text


@dataclass(frozen=True, slots=True)
class TextBatches:
    """Makes batch number `step`: texts (n,), and the width in pixels of what is to be drawn (1,). Picklable."""

    say: Callable[[int], str]
    sides: tuple[int, ...]
    """Taken in turn, rising."""
    batch: int
    """Pictures of the first of them; of larger ones there are as many fewer as they have more pixels."""
    scenes: int

    def __call__(self, step: int) -> Arrays:
        """The same arrays at every call with the same number."""
        lot = np.random.default_rng([29, step])
        side = self.sides[step % len(self.sides)]
        count = max(1, round(self.batch * (self.sides[0] / side) ** 2))
        texts = [self.say(int(index)) for index in lot.integers(self.scenes, size=count)]
        texts = ["" if lot.random() < EMPTY else text for text in texts]
        return np.array(texts, np.str_), np.array([side])


def stops(count: int, steps: int) -> list[int]:
    """The falling timesteps at which DDIM stands in that many steps, spaced as `trailing` of arXiv:2305.08891.

    `count` is how many timesteps the schedule has.
    """
    return [round(count - place * count / steps) - 1 for place in range(steps)]


@dataclass(frozen=True, slots=True)
class Way:
    """The steps of DDIM (arXiv:2010.02502) between the timesteps of a base; the end of the way is the timestep -1."""

    base: Base

    def shares(self, time: int) -> tuple[torch.Tensor, torch.Tensor]:
        """How much of the picture and how much of the noise latents at that timestep have."""
        level = self.base.levels[max(time, 0)]
        return level.sqrt(), (1 - level).sqrt()

    def step(self, said: torch.Tensor, latents: torch.Tensor, here: int, there: int) -> torch.Tensor:
        """Latents at the timestep `there`, by what the denoiser says of those at `here`."""
        (kept, lost), (kept_then, lost_then) = self.shares(here), self.shares(there)
        if self.base.velocity:
            clean, noise = kept * latents - lost * said, lost * latents + kept * said
        else:
            clean, noise = (latents - lost * said) / kept, said
        return kept_then * clean + lost_then * noise

    def answer(self, start: torch.Tensor, end: torch.Tensor, here: int, there: int) -> torch.Tensor:
        """What the denoiser has to say of `start` for one step to lead to `end`: the inverse of `step`."""
        (kept, lost), (kept_then, lost_then) = self.shares(here), self.shares(there)
        speed = ((kept_then * kept + lost_then * lost) * start - end) / (kept_then * lost - lost_then * kept)
        return speed if self.base.velocity else lost * start + kept * speed

    def walk(self, guess: Guess, latents: torch.Tensor, times: list[int]) -> torch.Tensor:
        """From the first of `times` to the last, one call of the denoiser for each but that."""
        for here, there in itertools.pairwise(times):
            latents = self.step(guess(latents, here), latents, here, there)
        return latents


def guess_of(base: Base, unet: Any, words: torch.Tensor) -> Guess:
    """What `unet` says for these words, float32, in the precision that suits the device."""
    precision = Precision(base.device)

    def guess(latents: torch.Tensor, times: int | torch.Tensor) -> torch.Tensor:
        with precision.autocast():
            said = unet(latents, times, encoder_hidden_states=words, return_dict=False)[0]
        answer: torch.Tensor = said.float()
        return answer

    return guess


def guided(base: Base, words: torch.Tensor, empty: torch.Tensor, scale: float) -> Guess:
    """The base with classifier-free guidance (arXiv:2207.12598), both sides in one call; `empty` is of one text."""
    both = guess_of(base, base.unet, torch.cat([words, empty.expand_as(words)]))

    def guess(latents: torch.Tensor, times: int | torch.Tensor) -> torch.Tensor:
        wanted, plain = both(torch.cat([latents, latents]), times).chunk(2)
        return plain + scale * (wanted - plain)

    return guess


@torch.no_grad()
def lead(
    way: Way, teacher: Guess, own: Guess | None, noise: torch.Tensor, times: list[int]
) -> tuple[torch.Tensor, ...]:
    """Where each stretch begins and where the teacher ends it, and its timestep, each of shape (steps * n, ...).

    The teacher's ends are where the next stretch begins, unless `own`, the student, leads there by its single steps.
    """
    starts, answers, here = [], [], noise
    for first, last in itertools.pairwise(times):
        inner = [round(first + (last - first) * part / TEACHER_STEPS) for part in range(TEACHER_STEPS + 1)]
        end = way.walk(teacher, here, inner)
        starts.append(here)
        answers.append(way.answer(here, end, first, last))
        here = end if own is None else way.step(own(here, first), here, first, last)
    moments = torch.tensor(times[:-1], device=noise.device).repeat_interleave(len(noise))
    return torch.cat(starts), torch.cat(answers), moments


def train_turbo(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    tuning: Tuning | None = None,
    say: Callable[[int], str] = say_scene,
) -> dict[str, float]:
    """Trains until the budget ends, resuming from `folder`/turbo.pt; returns the last figures.

    The teacher is the base itself; `say` gives the text of each number. `total_seconds` is the whole training time over
    all resumptions, along which the learning rate falls.
    """
    how = tuning or Tuning()
    base = open_base(how.base, how.device)
    student = copy.deepcopy(base.unet).train().requires_grad_(True)
    plain_attention(student, how.device)
    way, empty, channels = Way(base), base.embed([""]), int(base.unet.config.in_channels)
    times = [*stops(len(base.levels), STEPS), -1]

    def loss(arrays: Arrays, lot: np.random.Generator) -> torch.Tensor:
        words, cells = base.embed(texts_of(arrays[0])), int(arrays[1][0]) // base.factor
        noise = torch.randn(len(words), channels, cells, cells, device=base.device)
        own = guess_of(base, student, words) if lot.random() < OWN_WAY else None
        starts, answers, moments = lead(way, guided(base, words, empty, GUIDANCE), own, noise, times)
        said = guess_of(base, student, words.repeat(STEPS, 1, 1))(starts, moments)
        return (said - answers).square().mean()

    make = TextBatches(say, how.sides_for(base.side), max(1, how.batch // STEPS), how.scenes)
    course = Course(NAME, folder, student, Optimiser(student, *how.paced(RATES)), make, loss)
    return run_course(course, budget, total_seconds, how)


def export_turbo(folder: Path, target: Path, base: Path = MODEL) -> int:
    """Writes the whole model as a StableDiffusionPipeline in float16 into `target`; returns its bytes.

    All parts but the denoiser are those of `base`, and DDIM with trailing timesteps is its scheduler. Raises
    FileNotFoundError before the first checkpoint.
    """
    state = trained(folder, NAME)
    unet = open_base(base).unet
    unet.load_state_dict(state["average"])

    def write(place: Path) -> None:
        write_pipeline(base, "StableDiffusionPipeline", unet, place)
        (place / "defaults.json").write_text(json.dumps(DEFAULTS, indent=2) + "\n", encoding="utf-8")
        scheduler = place / "scheduler" / "scheduler_config.json"
        config = json.loads(scheduler.read_text(encoding="utf-8"))
        config.update(_class_name="DDIMScheduler", timestep_spacing="trailing", clip_sample=False)
        scheduler.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if not (target / "README.md").exists():
            write_card(place / "README.md", target.name, ABOUT, state)

    return replace_folder(target, write)
