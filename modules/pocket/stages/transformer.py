"""Stage "transformer": pocket-mmdit, a small transformer in Stable Diffusion 3's layout (arXiv:2403.03206).

Two streams of tokens, picture and words, meet in joint attention; queries and keys are normalised as in SD 3.5. It
learns by flow matching on the cached latents of the pocket autoencoder, first at half the side, then at both; where the
pocket model is there, from that as its tutor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.stages.flow import SHIFT, draw_times, even_times, mix
from modules.pocket.stages.joint import Drawn, write_joint
from modules.pocket.stages.lesson import Lesson, Plan, velocity_of
from modules.pocket.stages.pictures import SIDE
from modules.pocket.stages.scenery import Make, scene_batches
from modules.pocket.stages.text import WIDTH
from modules.pocket.stages.tutor import Tutor
from modules.pocket.stages.words import Words
from modules.training.journal import Budget, load_checkpoint

NAME = "transformer"
DROP = 0.1
"""Share of captions left empty."""
RATES = (0.01, 1e-3)
"""Learning rates of Muon and Adam."""
TAUGHT = 3.0
"""Guidance that a tutor folds in."""
STEPS = 20
GUIDANCE = 1.5
ABOUT = (
    "pocket-mmdit draws the world of the pocket family with a transformer in the layout of Stable Diffusion 3: two "
    "streams of tokens in joint attention, trained by flow matching (arXiv:2403.03206) on the latents of the family's "
    "own autoencoder. Both CLIP encoders of the layout are one and the same small network, kept twice because the "
    "layout asks for two; the third encoder (T5) is an empty one that only ever says zeros, so that every loader "
    "of the layout opens the folder. It knows only the scenes that the project renders."
)


def build_transformer(**changes: Any) -> Any:
    """A fresh network for latents of SIDE pixels: five blocks 160 wide, 4.5 M parameters; `changes` to its config.

    Modulation and the last layer start at zero (arXiv:2212.09748), so every block begins as doing nothing.
    """
    from diffusers import SD3Transformer2DModel

    shape: dict[str, Any] = {
        "sample_size": SIDE // 8,
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 5,
        "attention_head_dim": 32,
        "num_attention_heads": 5,
        "joint_attention_dim": 2 * WIDTH,
        "caption_projection_dim": 160,
        "pooled_projection_dim": 2 * WIDTH,
        "pos_embed_max_size": 32,
        "qk_norm": "rms_norm",
    }
    network = SD3Transformer2DModel(**{**shape, **changes})
    with torch.no_grad():
        for name, value in network.named_parameters():
            if ("norm" in name and ".linear." in name) or name.startswith("proj_out."):
                value.zero_()
    return network


def train_transformer(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    plan: Plan | None = None,
    network: Any = None,
    makers: tuple[Make, Make] | None = None,
    tutor: Tutor | None = None,
) -> dict[str, float]:
    """Trains until the budget or `plan.max_steps` end, resuming from `folder`/transformer.pt; gives the last figures.

    `total_seconds` is the whole training time over all resumptions. `network` and `makers` stand in for the family's
    own. What is learned is the velocity of each picture, or with a `tutor` what that says of the same latents.
    Raises FileNotFoundError where the stages "text" or "latents" have not been run.
    """
    plan = plan or Plan()
    torch.manual_seed(0)
    lesson = Lesson(NAME, folder, network or build_transformer(), plan, RATES)
    lesson.show(even_times(STEPS), GUIDANCE)

    def loss(clean: torch.Tensor, ids: torch.Tensor, words: Words, lot: np.random.Generator) -> torch.Tensor:
        times, noise = draw_times(lot, len(clean)).to(clean.device), torch.randn_like(clean)
        seen = mix(clean, noise, times)
        wanted = noise - clean if tutor is None else tutor.velocity(seen, times, ids)
        return (velocity_of(lesson.loop.module, words)(seen, times) - wanted).square().mean()

    batches = makers or scene_batches(folder, plan.sides, plan.batch, DROP)
    return lesson.run(loss, batches, budget, total_seconds)


def load_transformer(folder: Path, network: Any = None) -> Any:
    """The trained network with averaged weights, frozen. Raises FileNotFoundError before the first checkpoint.

    `network` is a fresh one of the layout of the checkpoint, where that is not the family's own.
    """
    state = load_checkpoint(folder / f"{NAME}.pt")
    if state is None:
        raise FileNotFoundError(folder / f"{NAME}.pt")
    network = network or build_transformer()
    network.load_state_dict(state["average"])
    return network.eval().requires_grad_(False)


def export_transformer(folder: Path, target: Path, network: Any = None) -> int:
    """Writes pocket-mmdit as a diffusers folder in float16 into `target`; returns its size in bytes.

    A README.md that is there stays. Raises FileNotFoundError before the first checkpoint and ValueError where the
    network is larger than the family allows; `target` is then left as it was.
    """
    drawn = Drawn("pocket-mmdit", ABOUT, {"shift": SHIFT}, STEPS, GUIDANCE)
    return write_joint(folder, target, NAME, load_transformer(folder, network), drawn)
