"""Row of the table for the model in SD 3's layout, which trains and then exports what it has.

Nothing heavy is imported before a stage runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.pocket.stages.lesson import Plan
    from modules.pocket.stages.table import Run

Answer = tuple[bool, dict[str, Any]]

LARGE_BATCH = 256
"""Of a graphics card, for which these networks are small."""
MOST_WORKERS = 12


def plan_for(run: Run) -> Plan:
    """The family's plan on a CPU; large batches made by worker processes on a graphics card."""
    from modules.pocket.stages.lesson import Plan

    if run.device.startswith("cpu"):
        return Plan()
    workers = min(MOST_WORKERS, max(1, (os.cpu_count() or 2) - 1))
    return Plan(device=run.device, batch=LARGE_BATCH, workers=workers)


def folder_of(models: Path, kind: str) -> Path:
    """Where the model of that kind stands: beside the base, with the kind behind its name."""
    return models.with_name(f"{models.name}-{kind}")


def run_transformer(run: Run) -> Answer:
    """Trains and exports `pocket-mmdit`; the exported pocket model is its tutor, where it is there."""
    from modules.pocket.stages.base import open_base
    from modules.pocket.stages.transformer import TAUGHT, export_transformer, train_transformer
    from modules.pocket.stages.tutor import Tutor

    there = (run.models / "model_index.json").exists()
    tutor = Tutor(open_base(run.models, run.device), TAUGHT) if there else None
    figures = train_transformer(run.work, run.budget, run.seconds, plan_for(run), tutor=tutor)
    return True, {**figures, "bytes": export_transformer(run.work, folder_of(run.models, "mmdit"))}


JOINT_ROWS: tuple[tuple[str, float, Callable[[Run], Answer]], ...] = (("transformer", 90, run_transformer),)
"""Name, usual minutes and what runs."""
