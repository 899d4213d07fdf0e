"""Rows of the table for the stages that build on the exported base. Each trains and then exports what it has.

Nothing heavy is imported before a stage runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.pocket.stages.table import Run
    from modules.pocket.stages.tuning import Tuning

Answer = tuple[bool, dict[str, Any]]

LARGE_BATCH = 128
"""Of a graphics card, for which the family's networks are small."""
MOST_WORKERS = 12


def _tuning(run: Run) -> Tuning:
    from modules.pocket.stages.tuning import Tuning

    if run.device.startswith("cpu"):
        return Tuning(base=run.models)
    workers = min(MOST_WORKERS, max(1, (os.cpu_count() or 2) - 1))
    return Tuning(base=run.models, device=run.device, batch=LARGE_BATCH, workers=workers)


def inpaint_folder(models: Path) -> Path:
    """Where the inpainting model of the base in `models` stands: beside it, `-inpaint` behind its name."""
    return models.with_name(f"{models.name}-inpaint")


def turbo_folder(models: Path) -> Path:
    """Where the four-step version of the base in `models` stands: beside it, `-turbo` behind its name."""
    return models.with_name(f"{models.name}-turbo")


def run_inpaint(run: Run) -> Answer:
    """Trains and exports `pocket-inpaint`."""
    from modules.pocket.stages.inpaint import export_inpaint, train_inpaint

    figures = train_inpaint(run.work, run.budget, run.seconds, _tuning(run))
    return True, {**figures, "bytes": export_inpaint(run.work, inpaint_folder(run.models), run.models)}


def run_turbo(run: Run) -> Answer:
    """Trains and exports `pocket-turbo`."""
    from modules.pocket.stages.turbo import export_turbo, train_turbo

    figures = train_turbo(run.work, run.budget, run.seconds, _tuning(run))
    return True, {**figures, "bytes": export_turbo(run.work, turbo_folder(run.models), run.models)}


def run_control(kind: str, run: Run) -> Answer:
    """Trains and exports the ControlNet for one kind of condition."""
    from modules.pocket.stages.control import export_control, train_control

    figures = train_control(run.work, run.budget, run.seconds, kind, _tuning(run))
    size = export_control(run.work, run.models / "controlnet" / kind, kind, run.models)
    return True, {**figures, "bytes": size}


def run_adapter(run: Run) -> Answer:
    """Trains and exports the T2I-Adapter."""
    from modules.pocket.stages.adapter import export_adapter, train_adapter

    figures = train_adapter(run.work, run.budget, run.seconds, _tuning(run))
    size = export_adapter(run.work, run.models / "t2i-adapter" / "colour", run.models)
    return True, {**figures, "bytes": size}


def run_image_prompt(run: Run) -> Answer:
    """Trains and exports the image prompt, on the scorer's image tower where the scorer has been exported."""
    from modules.pocket.stages.image_prompt import export_image_prompt, train_image_prompt

    tower = run.models / "scorer"
    given = tower if (tower / "config.json").exists() else None
    figures = train_image_prompt(run.work, run.budget, run.seconds, _tuning(run), given)
    size = export_image_prompt(run.work, run.models / "ip-adapter", run.models, given)
    return True, {**figures, "bytes": size}


def run_lora(subject: str, run: Run) -> Answer:
    """Trains and exports one LoRA in both formats."""
    from modules.pocket.stages.lora import export_lora, train_lora

    figures = train_lora(run.work, run.budget, run.seconds, subject, _tuning(run))
    return True, {**figures, "bytes": export_lora(run.work, run.models / "lora", subject, run.models)}


def run_inversion(run: Run) -> Answer:
    """Trains and exports the textual inversion in both layouts."""
    from modules.pocket.stages.inversion import export_inversion, train_inversion

    figures = train_inversion(run.work, run.budget, run.seconds, _tuning(run))
    return True, {**figures, "bytes": export_inversion(run.work, run.models / "embeddings")}


ROWS: tuple[tuple[str, float, Callable[[Run], Answer]], ...] = (
    ("turbo", 25, run_turbo),
    ("inpaint", 40, run_inpaint),
    ("control-canny", 20, partial(run_control, "canny")),
    ("control-scribble", 20, partial(run_control, "scribble")),
    ("control-segmentation", 20, partial(run_control, "segmentation")),
    ("adapter", 15, run_adapter),
    ("image-prompt", 20, run_image_prompt),
    ("lora-stained-glass", 10, partial(run_lora, "stained-glass")),
    ("lora-robot", 10, partial(run_lora, "robot")),
    ("inversion", 5, run_inversion),
)
"""Name, usual minutes and what runs."""
