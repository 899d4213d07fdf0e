"""Stage "decoder": a few more minutes for the decoder alone, on the cached latents.

The latents cannot change any more once diffusion has been trained on them, but what is made of them can. A little
noise on them teaches the decoder to put up with what sampling leaves behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.dataset import open_pictures
from modules.pocket.latents import open_latents
from modules.pocket.vae import load_vae, picture_loss, to_tensor
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Loop
from modules.training.muon import Optimiser

NOISE = 0.05
"""Standard deviation of the noise on latents of variance 1."""


def _white_vae(folder: Path) -> Any:
    vae = load_vae(folder)
    white = load_checkpoint(folder / "vae-white.pt")
    if white is None:
        raise FileNotFoundError(folder / "vae-white.pt")
    vae.load_state_dict(white)
    vae.decoder.requires_grad_(True)
    return vae.train()


def train_decoder(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    batch: int = 8,
    max_steps: int | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/decoder.pt; returns the last figures.

    Raises FileNotFoundError where the "latents" stage has not begun.
    """
    pictures, (latents, _) = open_pictures(folder), open_latents(folder)
    vae = _white_vae(folder).to(device)
    loop = Loop("decoder", folder, vae, Optimiser(vae, muon_lr=0.006, adam_lr=6e-4), Average(vae, 0.98))
    loop.resume()

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rows = np.sort(np.random.default_rng([19, step]).integers(len(latents), size=batch))
        wanted, known = to_tensor(pictures[rows]).to(device), latents[rows].float().to(device)
        with torch.autocast(wanted.device.type, torch.bfloat16):
            made = vae.decode(known + NOISE * torch.randn_like(known)).sample
        return picture_loss(made.float(), wanted), {}

    return loop.run(loss_of, budget, total_seconds, max_steps)
