"""What every training stage shares: a time budget that ends it cleanly, its log, its checkpoints and its averages."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Budget:
    """Says when a stage has to stop: its minutes are spent, or someone asked by Ctrl-C or SIGTERM."""

    def __init__(self, minutes: float) -> None:
        """`minutes` of wall clock from now on."""
        self._started = time.monotonic()
        self._seconds = minutes * 60
        self.asked = False

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def over(self) -> bool:
        """Whether to stop now."""
        return self.asked or self.spent >= self._seconds

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While inside, Ctrl-C and SIGTERM end the stage after the step under way; only in the main thread."""

        def stop(_number: int, _frame: object) -> None:
            self.asked = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Log:
    """Appends figures to a file as JSON lines."""

    def __init__(self, path: Path) -> None:
        """`path` is made, with its folders, when the first line is written."""
        self._path = path

    def write(self, **figures: float | int | str) -> None:
        """One line; floats are rounded to five places."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        row = {name: round(value, 5) if isinstance(value, float) else value for name, value in figures.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint whole or not at all: to a neighbouring file first, then renamed over the old one."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    torch.save(dict(state), beside)
    os.replace(beside, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint in `path`, or None where there is none. Only tensors and plain values are read."""
    import torch

    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def warm_cosine(step: int, total: int, warm: int, floor: float = 0.02) -> float:
    """The factor on the learning rate: up in a line over `warm` steps, then down along a cosine to `floor`."""
    if step < warm:
        return (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, total - warm))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


class Average:
    """Exponential moving average of a module's weights, with a horizon that grows with the number of steps."""

    def __init__(self, module: Any, decay: float) -> None:
        """Starts from the weights as they are; `decay` is the largest share of the old average kept at a step."""
        self.weights = {name: value.detach().clone().float() for name, value in module.state_dict().items()}
        self._decay = decay

    def update(self, module: Any, step: int) -> None:
        """Takes in the weights after step number `step`."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            self.weights[name].lerp_(value.detach().float(), 1 - decay)

    @contextmanager
    def worn_by(self, module: Any) -> Iterator[None]:
        """While inside, `module` has the averaged weights; afterwards its own again, to the bit."""
        own = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self.weights)
        try:
            yield
        finally:
            module.load_state_dict(own)
