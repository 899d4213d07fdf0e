"""Stage "unet": latent diffusion (arXiv:2112.10752) with v-prediction (arXiv:2202.00512) over the cached latents.

Flat colour is what averages of many latents say, so it survives noise that hides everything else: the schedule goes
to a signal-to-noise ratio low enough to hide it too (DDPM's linear one), and the loss keeps its full weight there.
At the other end it is cut as in min-SNR (arXiv:2303.09556).

Noise that hides colours teaches colours and noise that hides nothing teaches texture; the outline of a thing is
decided between them, so most samples are taken there. Which scenes are seen, and how often, is `focus`'s choice.

Composition is learned on pictures of half the side, which cost a quarter; the last part of the time is spent on
pictures of the whole side and close-ups of them, with some of half and of twice the side, so that these stay usable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modules.pocket.stages.latents import Encoded
from modules.pocket.stages.pictures import SIDE
from modules.pocket.stages.text import WIDTH
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Loop
from modules.training.muon import Optimiser

STEPS = 1000
BETAS = (1e-4, 2e-2)
SNR_LIMIT = 5.0
DROP = 0.1
"""Share of samples that see the empty caption."""
OUTLINES, OUTLINE_SHARE = (100, 650), 0.8
"""Timesteps at which outlines are decided, and the share of samples that is spread over these alone."""
COARSE = 0.7
"""Share of the time spent on half the side only."""
HALF_SHARE, CLOSE_SHARE, DOUBLE_SHARE = 0.15, 0.5, 0.1
"""Shares of the steps after that which see pictures of half the side, close-ups of the whole side, and pictures of
twice the side; the others see the whole side."""
CLOSE_TIMES = (30, 520)
"""Timesteps at which close-ups are seen: with more noise it does not show what is a close-up and what is a picture."""
LATE = 2
"""Afterwards steps are so many times as large: the optimiser's own work is a quarter of a step, and gradients with less
noise are what is wanted while the learning rate falls."""


def build_unet() -> Any:
    """A fresh image network: four levels, attention on the second and third, 7.2 M parameters."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64, 128, 160),
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


def draw_times(lot: np.random.Generator, batch: int) -> torch.Tensor:
    """Timesteps, int64 (batch,): OUTLINE_SHARE of them within OUTLINES, the others anywhere; both spread evenly."""
    inner = round(batch * OUTLINE_SHARE)
    first, last = OUTLINES
    spread = np.concatenate([first + (last - first) * _spread(lot, inner), STEPS * _spread(lot, batch - inner)])
    return torch.from_numpy(spread.astype(np.int64))


def draw_close_times(lot: np.random.Generator, batch: int) -> torch.Tensor:
    """Timesteps for close-ups, int64 (batch,), spread evenly over CLOSE_TIMES."""
    first, last = CLOSE_TIMES
    return torch.from_numpy((first + (last - first) * _spread(lot, batch)).astype(np.int64))


def _spread(lot: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Numbers in 0..1, one in each of `count` equal parts, in random order."""
    return (lot.permutation(count) + lot.random(count)) / max(1, count)


def _choose(stores: list[Encoded], lot: np.random.Generator, done: float) -> tuple[Encoded, int | None]:
    """What a step sees when the share `done` of the training time is over: of which side, and whether in close-ups of
    how many cells; `stores` has half, whole and perhaps twice the side."""
    if len(stores) == 1 or done < COARSE:
        return stores[0], None
    chance = lot.random()
    if chance < HALF_SHARE:
        return stores[0], None
    if chance < HALF_SHARE + CLOSE_SHARE:
        return stores[1], stores[0].side // 8
    return stores[2 if len(stores) > 2 and chance < HALF_SHARE + CLOSE_SHARE + DOUBLE_SHARE else 1], None


def train_unet(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    batch: int = 64,
    max_steps: int | None = None,
    device: str = "cpu",
    sides: Sequence[int] = (SIDE // 2, SIDE, SIDE * 2),
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/unet.pt; returns the last figures.

    `total_seconds` is the whole training time over all resumptions, along which the learning rate falls and the
    share of large pictures rises. Of twice the side there are pictures where the stage "latents" has come to them.
    `batch` counts pictures of the smaller of `sides` in the first part of that time; of
    larger ones there are fewer, as many latent pixels in all.
    """
    from diffusers.models.attention_processor import AttnProcessor

    stores = [Encoded(folder, side) for side in sides[:2]]
    stores += [Encoded(folder, side) for side in sides[2:] if (folder / f"latents-{side}.pt").exists()]
    levels = signal_levels().to(device)
    torch.manual_seed(0)
    unet = build_unet().to(device)
    unet.set_attn_processor(AttnProcessor())  # the fused attention's backward pass is five times slower on a CPU
    loop = Loop("unet", folder, unet, Optimiser(unet, muon_lr=0.02, adam_lr=2e-3), Average(unet, 0.998))
    loop.resume()
    seen: dict[int | str, int] = dict.fromkeys((*sides, "close"), 0)

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        lot = np.random.default_rng([17, step])
        done = (loop.before + budget.spent) / total_seconds
        store, window = _choose(stores, lot, done)
        width = store.side if window is None else window * 8
        size = max(1, round(batch * (LATE if done >= COARSE else 1) * (sides[0] / width) ** 2))
        seen[store.side if window is None else "close"] += size
        clean, words = (each.to(device) for each in store.draw(lot, size, DROP, window))
        times = (draw_times(lot, size) if window is None else draw_close_times(lot, size)).to(device)
        level = levels[times]
        noisy, wanted = velocity(clean, torch.randn_like(clean), level)
        if width > sides[0]:
            noisy = noisy.contiguous(memory_format=torch.channels_last)  # a tenth faster, but not for small pictures
        with torch.autocast(clean.device.type, torch.bfloat16):
            guess = unet(noisy, times, encoder_hidden_states=words, return_dict=False)[0]
        errors = (guess.float() - wanted).square().mean(dim=(1, 2, 3))
        return (errors * loss_weight(level)).mean(), {f"pictures_{kind}": count for kind, count in seen.items()}

    return loop.run(loss_of, budget, total_seconds, max_steps)


def load_unet(folder: Path) -> Any:
    """The trained network with averaged weights, for use. Raises FileNotFoundError before the first checkpoint."""
    state = load_checkpoint(folder / "unet.pt")
    if state is None:
        raise FileNotFoundError(folder / "unet.pt")
    unet = build_unet()
    unet.load_state_dict(state["average"])
    return unet.eval().requires_grad_(False)
