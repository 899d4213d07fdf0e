"""The training loop of the networks that learn against the clock: autoencoder, its decoder, and diffusion."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from modules.training.journal import Average, Budget, Log, load_checkpoint, save_checkpoint, warm_cosine
from modules.training.muon import Optimiser

SAVE_EVERY_S = 120.0
LOG_EVERY = 25

StepLoss = Callable[[int], tuple[torch.Tensor, dict[str, float]]]
"""From the number of a step to its loss, to go back from, and to figures for the log. Same number, same batch."""


@dataclass(slots=True)
class Loop:
    """One network, how it learns, and where its checkpoint lies."""

    name: str
    """`folder`/`name`.pt is the checkpoint and `folder`/`name`.jsonl the log."""
    folder: Path
    module: Any
    optimiser: Optimiser
    average: Average
    step: int = 0
    before: float = 0.0
    """Seconds of training before this run."""
    smooth: float = field(default=0.0, init=False)

    def resume(self) -> None:
        """Goes on from the checkpoint, where there is one."""
        if state := load_checkpoint(self.folder / f"{self.name}.pt"):
            self.module.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            place = next(self.module.parameters()).device
            self.average.weights = {name: value.to(place) for name, value in state["average"].items()}
            self.step, self.before = int(state["step"]), float(state["seconds"])

    def save(self, seconds: float) -> None:
        """Writes the checkpoint; `seconds` of training have gone into it."""
        state = {"model": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"average": self.average.weights, "step": self.step, "seconds": seconds}
        save_checkpoint(self.folder / f"{self.name}.pt", state)

    def run(self, loss_of: StepLoss, budget: Budget, total_seconds: float, max_steps: int | None) -> dict[str, float]:
        """Trains until the budget or `max_steps` of this run end; returns the last figures.

        The learning rate rises over 50 steps and falls along a cosine over `total_seconds` of training, all runs
        together. Checkpoints are written every two minutes and at the end.
        """
        log, figures = Log(self.folder / f"{self.name}.jsonl"), {"step": float(self.step)}
        first, saved = self.step, time.monotonic()
        while not budget.over and (max_steps is None or self.step - first < max_steps):
            torch.manual_seed(self.step)
            loss, extra = loss_of(self.step)
            loss.backward()
            done = (self.before + budget.spent) / total_seconds
            self.optimiser.step(warm_cosine(int(done * 10_000), 10_000, 1) * min(1.0, (self.step + 1) / 50))
            self.step += 1
            self.average.update(self.module, self.step)
            self.smooth += (loss.item() - self.smooth) * max(0.02, 1 / (self.step - first))
            if self.step % LOG_EVERY == 0 or self.step - first == max_steps:
                seconds = self.before + budget.spent
                figures = {"step": self.step, "loss": self.smooth, "seconds": seconds, **extra}
                log.write(**figures)
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save(self.before + budget.spent)
                saved = time.monotonic()
        self.save(self.before + budget.spent)
        return figures
