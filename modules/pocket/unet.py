"""Stage "unet": latent diffusion (arXiv:2112.10752) with v-prediction (arXiv:2202.00512) over the cached latents.

Flat colour is what averages of many latents say, so it survives noise that hides everything else: the schedule goes
to a signal-to-noise ratio low enough to hide it too (DDPM's linear one), and the loss keeps its full weight there.
At the other end it is cut as in min-SNR (arXiv:2303.09556).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.latents import WORDINGS, open_latents
from modules.pocket.text import WIDTH
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Loop
from modules.training.muon import Optimiser

STEPS = 1000
BETAS = (1e-4, 2e-2)
SNR_LIMIT = 5.0
DROP = 0.1
"""Share of samples that see the empty caption, for classifier-free guidance (arXiv:2207.12598)."""


def build_unet() -> Any:
    """A fresh image network for 16 by 16 latents."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 96, 128),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
    )


def signal_levels() -> torch.Tensor:
    """Cumulative products of 1 - beta of the linear schedule, float32 of length STEPS."""
    return torch.cumprod(1 - torch.linspace(*BETAS, STEPS, dtype=torch.float64), 0).float()


def velocity(clean: torch.Tensor, noise: torch.Tensor, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(noisy latents, v) at signal levels `level` of shape (n,): v = sqrt(a) noise - sqrt(1 - a) clean."""
    kept, lost = level.sqrt()[:, None, None, None], (1 - level).sqrt()[:, None, None, None]
    return kept * clean + lost * noise, kept * noise - lost * clean


def loss_weight(level: torch.Tensor) -> torch.Tensor:
    """1 where noise rules, SNR_LIMIT / (snr + 1) where the picture does; shape as given."""
    return (SNR_LIMIT * (1 - level)).clamp(max=1.0)


def _batch(latents: torch.Tensor, texts: torch.Tensor, step: int, batch: int) -> tuple[torch.Tensor, ...]:
    lot = np.random.default_rng([17, step])
    rows = lot.integers(len(latents), size=batch)
    words = rows * WORDINGS + lot.integers(WORDINGS, size=batch)
    words[lot.random(batch) < DROP] = len(texts) - 1
    times = ((lot.permutation(batch) + lot.random(batch)) / batch * STEPS).astype(np.int64)
    return latents[rows].float(), texts[words].float(), torch.from_numpy(times)


def train_unet(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    batch: int = 64,
    max_steps: int | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/unet.pt; returns the last figures.

    `total_seconds` is the whole training time over all resumptions, along which the learning rate falls.
    """
    from diffusers.models.attention_processor import AttnProcessor

    latents, texts = open_latents(folder)
    levels = signal_levels().to(device)
    torch.manual_seed(0)
    unet = build_unet().to(device)
    unet.set_attn_processor(AttnProcessor())  # the fused attention's backward pass is five times slower on a CPU
    loop = Loop("unet", folder, unet, Optimiser(unet, muon_lr=0.02, adam_lr=2e-3), Average(unet, 0.995))
    loop.resume()

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        clean, words, times = (each.to(device) for each in _batch(latents, texts, step, batch))
        level = levels[times]
        noisy, wanted = velocity(clean, torch.randn_like(clean), level)
        with torch.autocast(clean.device.type, torch.bfloat16):
            guess = unet(noisy, times, encoder_hidden_states=words, return_dict=False)[0]
        errors = (guess.float() - wanted).square().mean(dim=(1, 2, 3))
        return (errors * loss_weight(level)).mean(), {"pictures": (step + 1) * batch}

    return loop.run(loss_of, budget, total_seconds, max_steps)


def load_unet(folder: Path) -> Any:
    """The trained network with averaged weights, for use. Raises FileNotFoundError before the first checkpoint."""
    state = load_checkpoint(folder / "unet.pt")
    if state is None:
        raise FileNotFoundError(folder / "unet.pt")
    unet = build_unet()
    unet.load_state_dict(state["average"])
    return unet.eval().requires_grad_(False)
