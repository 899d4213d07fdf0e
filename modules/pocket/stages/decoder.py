"""Stage "decoder": a few more minutes for the decoder alone, on the cached latents.

The latents cannot change any more once diffusion has been trained on them, but what is made of them can. A little
noise on them teaches the decoder to put up with what sampling leaves behind. Beside the loss of the autoencoder stands
the logarithm of each picture's squared error, which is its peak signal-to-noise ratio: what is said of it in decibels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from modules.pocket.stages.latents import encode_pictures, whitened_vae
from modules.pocket.stages.pictures import open_pictures
from modules.pocket.stages.vae import draw_batch, picture_loss
from modules.training.journal import Average, Budget
from modules.training.loop import Loop
from modules.training.muon import Optimiser

NOISE = 0.03
"""Standard deviation of the noise on latents of variance 1."""

DECIBELS = 0.02
"""Weight of the logarithm of squared errors beside the loss of the autoencoder; of two to one at 31 dB."""


def train_decoder(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    batch: int = 32,
    max_steps: int | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/decoder.pt; returns the last figures.

    Raises FileNotFoundError where the "vae" stage has not been run.
    """
    pictures, vae = open_pictures(folder), whitened_vae(folder).to(device)
    vae.decoder.requires_grad_(True)
    loop = Loop("decoder", folder, vae.train(), Optimiser(vae, muon_lr=0.006, adam_lr=6e-4), Average(vae, 0.98))
    loop.resume()

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        wanted = draw_batch(pictures, np.random.default_rng([19, step]), step, batch)
        known = encode_pictures(vae, wanted).to(device)
        wanted = wanted.to(device)
        with torch.autocast(wanted.device.type, torch.bfloat16):
            made = vae.decode(known + NOISE * torch.randn_like(known)).sample
        off = (made.float() - wanted).square().mean(dim=(1, 2, 3))
        decibels = 10 * torch.log10(4 / (off + 1e-6)).mean()
        return picture_loss(made.float(), wanted) - DECIBELS * decibels, {"decibels": decibels.item()}

    return loop.run(loss_of, budget, total_seconds, max_steps)
