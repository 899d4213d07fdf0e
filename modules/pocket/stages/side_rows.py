"""Rows of the table for what stands beside the generators: upscalers, the preview decoder, the scorer.

Each trains and then exports what it has. Nothing heavy is imported before a stage runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.pocket.stages.table import Run

Answer = tuple[bool, dict[str, Any]]


def run_upscale(scale: int, run: Run) -> Answer:
    """Trains and exports the upscaler of that scale; needs no other stage."""
    from modules.pocket.stages.upscale import export_upscale, judge_upscale, load_upscale, train_upscale

    figures = train_upscale(run.work, run.budget, run.seconds, scale, device=run.device)
    if not figures["step"]:
        return False, figures
    size = export_upscale(run.work, run.models / "upscalers", (scale,))
    return True, {**figures, **judge_upscale(load_upscale(run.work, scale), scale, side=512 // scale), "bytes": size}


def run_preview(run: Run) -> Answer:
    """Trains and exports the preview decoder; needs the stages "scenes" and "vae"."""
    from modules.pocket.stages.preview import export_preview, train_preview

    figures = train_preview(run.work, run.budget, run.seconds, device=run.device)
    return True, {**figures, "bytes": export_preview(run.work, run.models / "preview")}


def run_scorer(run: Run) -> Answer:
    """Trains and exports the scorer; needs the stage "scenes"."""
    from modules.pocket.stages.scorer import export_scorer, judge_scorer, load_scorer, train_scorer

    figures = train_scorer(run.work, run.budget, run.seconds, device=run.device)
    judged = judge_scorer(*load_scorer(run.work))
    return True, {**figures, **judged, "bytes": export_scorer(run.work, run.models / "scorer")}


SIDE_ROWS: tuple[tuple[str, float, Callable[[Run], Answer]], ...] = (
    ("upscale-x2", 20.0, partial(run_upscale, 2)),
    ("upscale-x4", 20.0, partial(run_upscale, 4)),
    ("preview", 10.0, run_preview),
    ("scorer", 30.0, run_scorer),
)
