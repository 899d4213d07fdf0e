"""The training loop of the networks that learn against the clock, whatever they are and whatever they learn from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from modules.training.curves import save_curves
from modules.training.journal import Average, Budget, Log, load_checkpoint, save_checkpoint, warm_cosine
from modules.training.muon import Optimiser
from modules.training.precision import Scaler
from modules.training.randomness import put_state, take_state, undisturbed
from modules.training.sheets import Samples

SAVE_EVERY_S = 120.0
LOG_EVERY = 25

StepLoss = Callable[[int], tuple[torch.Tensor, dict[str, float]]]
"""From the number of a step to its loss, to go back from, and to figures for the log. Same number, same batch."""


@dataclass(frozen=True, slots=True)
class Care:
    """How a step is taken: from how many batches, how far at most, and what happens where numbers go wrong."""

    accumulate: int = 1
    """Batches whose gradients are averaged for one step; step s takes the batches s * accumulate and on."""
    clip: float | None = None
    """Largest norm of the gradient of all weights together; a longer one is shortened to it."""
    scaler: Scaler | None = None
    """For float16; `Precision.scaler` is the right one or None."""
    patience: int = 20
    """So many steps in a row may be skipped because of losses or gradients that are not finite."""
    total_steps: int | None = None
    """If given, training ends after so many steps, and the learning rate falls over them and not over time: then equal
    steps give equal weights."""


class Diverged(ValueError):
    """Too many steps in a row had losses or gradients that are not finite."""


@dataclass(slots=True)
class Loop:
    """One network, how it learns, and where its checkpoint lies."""

    name: str
    """`folder`/`name`.pt is the checkpoint, `folder`/`name`.jsonl the log and `folder`/`name`.png its curves."""
    folder: Path
    module: Any
    """Whose weights are learned, averaged and kept; frozen networks that it learns through stay outside."""
    optimiser: Optimiser
    average: Average
    step: int = 0
    before: float = 0.0
    """Seconds of training before this run."""
    care: Care = field(default_factory=Care)
    samples: Samples | None = None
    skipped: int = field(default=0, init=False)
    """Steps left out so far, over all runs, because their numbers were not finite."""
    smooth: float = field(default=0.0, init=False)
    """Running average of the loss."""
    seen: int = field(default=0, init=False)
    """Steps that are in it."""

    def resume(self) -> None:
        """Goes on from the checkpoint, where there is one; from weights alone with a fresh optimiser."""
        if state := load_checkpoint(self.folder / f"{self.name}.pt"):
            self.module.load_state_dict(state["model"])
            if "optimiser" in state:
                self.optimiser.load_state_dict(state["optimiser"])
            place = next(self.module.parameters()).device
            self.average.weights = {name: value.to(place) for name, value in state["average"].items()}
            self.step, self.before = int(state["step"]), float(state["seconds"])
            self.skipped, self.seen = int(state.get("skipped", 0)), int(state.get("seen", 0))
            self.smooth = float(state.get("smooth", 0.0))
            if self.care.scaler is not None and "scaler" in state:
                self.care.scaler.load_state_dict(state["scaler"])
            if "random" in state:
                put_state(state["random"])

    def save(self, seconds: float) -> None:
        """Writes the checkpoint; `seconds` of training have gone into it. Draws the curves anew."""
        state = {"model": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"average": self.average.weights, "step": self.step, "seconds": seconds}
        state |= {"skipped": self.skipped, "smooth": self.smooth, "seen": self.seen, "random": take_state()}
        if self.care.scaler is not None:
            state["scaler"] = self.care.scaler.state_dict()
        save_checkpoint(self.folder / f"{self.name}.pt", state)
        save_curves(self.folder / f"{self.name}.jsonl", self.folder / f"{self.name}.png")

    def run(self, loss_of: StepLoss, budget: Budget, total_seconds: float, max_steps: int | None) -> dict[str, float]:
        """Trains until the budget or `max_steps` of this run end; returns the last figures.

        The learning rate rises over 50 steps and falls along a cosine over `total_seconds` of training, all runs
        together, or over `care.total_steps`. Checkpoints are written every two minutes and at the end. Random numbers
        are seeded by the number of the batch, so a resumed run draws what an uninterrupted one would have drawn.
        Raises `Diverged` after a last checkpoint where too many steps in a row went wrong.
        """
        log, figures = Log(self.folder / f"{self.name}.jsonl"), {"step": float(self.step)}
        first, saved, bad = self.step, time.monotonic(), 0
        recent: list[float] = []
        while not budget.over and not self._ended(self.step - first, max_steps):
            loss, norm, extra = self._gradients(loss_of)
            good = math.isfinite(loss) and math.isfinite(norm)
            if good:
                self._learn(norm, self._rate((self.before + budget.spent) / total_seconds))
                recent.append(loss)
            bad = self._count(good, loss, bad)
            if self.step % LOG_EVERY == 0 or self._ended(self.step - first, max_steps):
                seconds = self.before + budget.spent
                figures = {"step": self.step, "loss": self.smooth, "seconds": seconds, **extra, **self._extra(recent)}
                log.write(**figures)
                recent.clear()
            if bad > self.care.patience:
                self._give_up(bad, loss, self.before + budget.spent)
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save(self.before + budget.spent)
                saved = time.monotonic()
            if self.samples is not None:
                with undisturbed():
                    self.samples.offer(self.step)
        self.save(self.before + budget.spent)
        return figures

    def _ended(self, run: int, max_steps: int | None) -> bool:
        total = self.care.total_steps
        return (max_steps is not None and run >= max_steps) or (total is not None and self.step >= total)

    def _gradients(self, loss_of: StepLoss) -> tuple[float, float, dict[str, float]]:
        """Loss, norm of the gradient and figures of this step's batches; gradients that may be used as they are."""
        care, total = self.care, 0.0
        extra: dict[str, float] = {}
        for part in range(care.accumulate):
            number = self.step * care.accumulate + part
            torch.manual_seed(number)
            loss, extra = loss_of(number)
            share = loss / care.accumulate if care.accumulate > 1 else loss
            (share if care.scaler is None else care.scaler.enlarge(share)).backward()
            total += loss.item() / care.accumulate
        gradients = [each.grad for each in self.module.parameters() if each.grad is not None]
        if care.scaler is not None:
            care.scaler.reduce(gradients)
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if care.scaler is not None and math.isfinite(total):
            care.scaler.learn(overflowed=not math.isfinite(norm))
        return total, norm, extra

    def _learn(self, norm: float, rate: float) -> None:
        clip = self.care.clip
        if clip is not None and norm > clip:
            gradients = [each.grad for each in self.module.parameters() if each.grad is not None]
            torch._foreach_mul_(gradients, clip / norm)
        self.optimiser.step(rate)
        self.average.update(self.module, self.step + 1)

    def _rate(self, done: float) -> float:
        if self.care.total_steps is not None:
            done = self.step / self.care.total_steps
        return warm_cosine(int(done * 10_000), 10_000, 1) * min(1.0, (self.step + 1) / 50)

    def _count(self, good: bool, loss: float, bad: int) -> int:
        """Ends the step; returns how many in a row have now gone wrong."""
        self.step += 1
        if not good:
            self.optimiser.clear()
            self.skipped += 1
            return bad + 1
        self.seen += 1
        self.smooth += (loss - self.smooth) * max(0.02, 1 / self.seen)
        return 0

    def _extra(self, recent: list[float]) -> dict[str, float]:
        """What the log says besides, where there is something to say."""
        extra: dict[str, float] = {"loss_now": sum(recent) / len(recent)} if recent else {}
        if self.skipped:
            extra["skipped"] = self.skipped
        return extra

    def _give_up(self, bad: int, loss: float, seconds: float) -> None:
        self.save(seconds)
        raise Diverged(
            f"{self.name}: {bad} steps in a row up to step {self.step} were skipped, because loss or gradient is not "
            f"finite (the last loss is {loss}); {self.care.patience} are allowed. The checkpoint holds the weights as "
            "they were before them; a lower learning rate, clipping or float32 may help."
        )
