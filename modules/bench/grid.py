"""A grid over seed, CFG and sampler against the bare pipeline, in static batches and one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from modules.bench.rig import PROMPT, Rig, bounded, rigged, side_by_side
from modules.bootstrap.options import Options
from modules.contracts.accounts import TERMINAL
from modules.contracts.experiments import ExperimentRecord
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.experiments.reading import AxisReader, make_experiment

SEEDS = 8
SCALES: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0)
SAMPLERS = ("DDIM", "Euler")
FIRST_SEED = 1000


def run(options: Options, *, rounds: int, steps: int) -> dict[str, Any]:
    """Three ways to pictures of the same seeds, scales and samplers, in turn and in one process.

    `batches`: seconds of the grid over those of a static batch of all seeds for each scale and sampler. `one_by_one`:
    seconds of as many bare calls of one picture over those of the grid. `processor`: the same two of the processor time
    of the process, which other programs of the machine touch less. `again`: cells drawn anew after one value changed.
    """
    with rigged(options, steps) as rig:
        turn = _Turn(rig)
        turn.grid()
        rig.bare(SEEDS)
        rig.bare(1)
        batches = side_by_side(turn.grid, turn.batches, rounds)
        alone = side_by_side(turn.grid, turn.one_by_one, 1)
        single = {**alone, "ratio": round(alone["bare_p50_seconds"] / alone["p50_seconds"], 4)}
        return {
            "size": rig.size,
            "steps": steps,
            "cells": turn.cells,
            "batches": bounded(batches, "ratio", most=1.1),
            "one_by_one": bounded(single, "ratio", least=3.0),
            "processor": turn.processor(),
            "again": turn.again(),
        }


def draw(rig: Rig, first_seed: int, scales: tuple[float, ...]) -> ExperimentRecord:
    """Draw one grid to its end; raises `RuntimeError` when a cell failed."""
    base = GenerationRequest(
        prompt=PromptParams(text=PROMPT),
        canvas=CanvasParams(width=rig.size, height=rig.size),
        sampling=SamplingParams(steps=rig.steps),
        seeds=SeedParams(subseed=0),
    )
    reader = AxisReader(rig.studio.catalog)
    axes = [
        reader.axis("Seed", list(range(first_seed, first_seed + SEEDS))),
        reader.axis("CFG Scale", list(scales)),
        reader.axis("Sampler", list(SAMPLERS)),
    ]
    experiments = rig.studio.experiments
    record = experiments.wait(experiments.start(make_experiment(base, axes), TERMINAL).id)
    if set(record.counts) != {"done"}:
        raise RuntimeError(f"The grid ended with {record.counts}.")
    return record


class _Turn:
    """The three ways; each takes seeds that no grid had before, so nothing comes from the gallery."""

    def __init__(self, rig: Rig) -> None:
        self._rig, self._seed = rig, FIRST_SEED
        self.cells = SEEDS * len(SCALES) * len(SAMPLERS)
        self._spent: dict[str, list[float]] = {"grid": [], "batches": [], "one_by_one": []}

    def grid(self) -> None:
        self._seed += SEEDS
        self._measure("grid", lambda: draw(self._rig, self._seed, SCALES))

    def batches(self) -> None:
        self._measure("batches", lambda: self._bare(SEEDS))

    def one_by_one(self) -> None:
        self._measure("one_by_one", lambda: self._bare(1))

    def processor(self) -> dict[str, float]:
        """Ratios of the least processor time that each way ever took."""
        grid, batches, alone = (min(spent) for spent in self._spent.values())
        return {
            "batches_ratio": round(grid / batches, 4),
            "one_by_one_ratio": round(alone / grid, 4),
            "seconds": round(grid, 4),
        }

    def again(self) -> dict[str, Any]:
        """Change the last scale of the newest grid and draw it once more."""
        record = draw(self._rig, self._seed, (*SCALES[:-1], SCALES[-1] + 1))
        drawn = sum(not cell.cached for cell in self._rig.studio.experiments.cells(record.id))
        changed = self.cells // len(SCALES)
        return bounded({"drawn": drawn, "changed": changed}, "drawn", most=changed, least=changed)

    def _bare(self, pictures: int) -> None:
        for sampler in SAMPLERS:
            for scale in SCALES:
                for first in range(self._seed, self._seed + SEEDS, pictures):
                    self._rig.bare(pictures, first_seed=first, scale=scale, sampler=sampler)

    def _measure(self, name: str, action: Callable[[], object]) -> None:
        begun = time.process_time()
        action()
        self._spent[name].append(time.process_time() - begun)
