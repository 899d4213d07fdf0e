"""What the stages on top of a base model share: how one is set up, its batches, and its run through the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from modules.pocket.sampling import MODEL
from modules.pocket.stages.samples import Draw, Sample, world_sample
from modules.training.feed import Feed
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Care, Loop
from modules.training.muon import Optimiser
from modules.training.precision import Precision

Arrays = tuple[NDArray[np.generic], ...]
SCENES = 200_000
"""Numbers that samples are drawn from."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a stage trains; the defaults are those of the family."""

    base: Path = MODEL
    """The folder of the model to build on, in the layout of Stable Diffusion 1.5."""
    batch: int = 32
    """Pictures of the smallest side a step; of larger sides there are as many fewer as they have more pixels."""
    max_steps: int | None = None
    """Steps of this run; None: until the budget ends."""
    device: str = "cpu"
    workers: int = 0
    """Processes that render; 0: in this one."""
    sides: tuple[int, ...] = ()
    """Widths in pixels, taken in turn; empty: half the base's own and its own, from 256 on, else its own."""
    draw: Draw = world_sample
    scenes: int = SCENES
    """How many different samples there are."""
    pace: float = 1.0
    """Factor on the learning rates of the stage."""

    def paced(self, rates: tuple[float, float]) -> tuple[float, float]:
        """A stage's own learning rates at the pace wanted."""
        return rates[0] * self.pace, rates[1] * self.pace

    def sides_for(self, native: int) -> tuple[int, ...]:
        """The sides to train at for a base whose own side is `native`."""
        return self.sides or ((native // 2, native) if native >= 256 else (native,))

    def native_for(self, native: int) -> tuple[tuple[int, ...], int]:
        """Sides and batch for what the base composes already and only looks different, which shows at its own side."""
        if self.sides or native < 256:
            return self.sides_for(native), self.batch
        return (native,), max(1, self.batch // 4)


class Extras(Protocol):
    """What a stage adds to each sample: one array, for instance a mask."""

    def __call__(self, sample: Sample, lot: np.random.Generator, /) -> NDArray[np.generic]: ...


@dataclass(frozen=True, slots=True)
class Batches:
    """Makes batch number `step`: pictures uint8 (n, h, w, 3), texts (n,), and the extras stacked where there are any.

    A share `drop` of the texts is empty, for classifier-free guidance (arXiv:2207.12598).
    """

    draw: Draw
    sides: tuple[int, ...]
    batch: int
    scenes: int
    drop: float = 0.1
    extras: Extras | None = None

    def __call__(self, step: int) -> Arrays:
        """The same arrays at every call with the same number."""
        lot = np.random.default_rng([23, step])
        side = self.sides[step % len(self.sides)]
        count = max(1, round(self.batch * (self.sides[0] / side) ** 2))
        samples = [self.draw(int(index), side) for index in lot.integers(self.scenes, size=count)]
        texts = ["" if lot.random() < self.drop else sample.text for sample in samples]
        arrays: Arrays = (np.stack([sample.picture for sample in samples]), np.array(texts, np.str_))
        if self.extras is None:
            return arrays
        return (*arrays, np.stack([self.extras(sample, lot) for sample in samples]))


@dataclass(frozen=True, slots=True)
class Course:
    """One stage: what learns, from what, and how fast."""

    name: str
    """Of the checkpoint and the log."""
    folder: Path
    module: Any
    optimiser: Optimiser
    make: Callable[[int], Arrays]
    loss: Callable[[Arrays, np.random.Generator], torch.Tensor]
    """From a batch and chance to the loss; torch's generator is set from the step as well."""
    decay: float = 0.998
    """Of the average of the weights."""


def run_course(course: Course, budget: Budget, total_seconds: float, tuning: Tuning) -> dict[str, float]:
    """Trains until the budget or `tuning.max_steps` end, resuming from the checkpoint; returns the last figures."""
    average = Average(course.module, course.decay)
    care = Care(scaler=Precision(tuning.device).scaler)
    loop = Loop(course.name, course.folder, course.module, course.optimiser, average, care=care)
    loop.resume()
    with Feed(course.make, workers=tuning.workers, first=loop.step) as feed:

        def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
            return course.loss(feed.take(step), np.random.default_rng([31, step])), {}

        return loop.run(loss_of, budget, total_seconds, tuning.max_steps)


def trained(folder: Path, name: str) -> dict[str, Any]:
    """The checkpoint of the stage `name`. Raises FileNotFoundError before the first one."""
    state = load_checkpoint(folder / f"{name}.pt")
    if state is None:
        raise FileNotFoundError(folder / f"{name}.pt")
    return state


def texts_of(array: NDArray[np.generic]) -> list[str]:
    """The texts of a batch as strings."""
    return [str(text) for text in array.tolist()]
