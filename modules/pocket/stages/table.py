"""The stages of the pocket family in the order in which they depend on each other, each with its usual minutes.

A stage is imported when it runs, so that the command line answers without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.pocket.stages.joint_rows import JOINT_ROWS, folder_of
from modules.pocket.stages.side_rows import SIDE_ROWS
from modules.pocket.stages.tuned import ROWS
from modules.training.journal import Budget

SCENES = 8192
"""Pictures for the autoencoder."""
ENCODED = {128: 98_304, 256: 49_152, 512: 6_144}
"""Scenes for diffusion, by side in pixels."""

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """What a stage is told."""

    work: Path
    """Folder of checkpoints, logs and cached data."""
    models: Path
    """Folder of the exported family, `models/pocket`."""
    budget: Budget
    seconds: float
    """The whole training time over all resumptions, along which learning rates fall."""
    device: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One row: `run` answers whether the stage has come to its end, and figures to report."""

    name: str
    minutes: float
    run: Callable[[Run], tuple[bool, Figures]]


def _scenes(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.pictures import make_scenes

    return make_scenes(run.work, SCENES, run.budget), {"scenes": SCENES}


def _vae(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.vae import train_vae

    return True, train_vae(run.work, run.budget, run.seconds, device=run.device)


def _text(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.text import STEPS, train_text

    figures = train_text(run.work, run.budget)
    return figures["step"] >= STEPS, figures


def _latents(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.latents import make_latents, make_texts

    done = make_texts(run.work, max(ENCODED.values()), run.budget)
    for side, count in ENCODED.items():
        done = done and make_latents(run.work, side, count, run.budget)
    return done, {f"scenes_{side}": count for side, count in ENCODED.items()}


def _unet(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.unet import train_unet

    return True, train_unet(run.work, run.budget, run.seconds, device=run.device)


def _decoder(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.decoder import train_decoder

    return True, train_decoder(run.work, run.budget, run.seconds, device=run.device)


def _export(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.export import export, round_trip

    return True, {"bytes": export(run.work, run.models), "psnr": round_trip(run.work)}


def _begin(run: Run) -> tuple[bool, Figures]:
    from modules.pocket.stages.begin import begin

    return True, begin(run.work, run.models, folder_of(run.models, "mmdit"))


STAGES = (
    Stage("scenes", 10, _scenes),
    Stage("vae", 30, _vae),
    Stage("text", 10, _text),
    Stage("latents", 60, _latents),
    Stage("unet", 120, _unet),
    Stage("decoder", 10, _decoder),
    Stage("export", 5, _export),
    *(Stage(*row) for row in (*JOINT_ROWS, *SIDE_ROWS, *ROWS)),
)

BEGIN = Stage("begin", 1, _begin)
"""Goes before the others where a family that is there is trained further; only when named."""
