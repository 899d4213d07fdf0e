"""Stage "vae": the autoencoder between pictures and latents (AutoencoderKL of LDM, arXiv:2112.10752), from scratch.

The world is flat colour with crisp edges, so the loss is L1 with extra weight on edges, on hue and on block averages,
plus a small KL term; no discriminator and no perceptual network. Two steps of four see crops of half the side, which
hold most of the edges at a quarter of the cost; the others see whole pictures, at half size and as they are, because
group norms see the whole field and both sizes are drawn later.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from modules.pocket.stages.pictures import SIDE, open_pictures
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Loop
from modules.training.muon import Optimiser

KL_WEIGHT = 3e-4


def build_vae() -> Any:
    """A fresh autoencoder: factor 8, four latent channels, 0.94 M parameters, no attention."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=SIDE,
    )


def to_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (n, h, w, 3) to float32 (n, 3, h, w) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 127.5 - 1


def picture_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, of neighbour differences, of colour differences and of 4 by 4 averages, summed by weight."""
    off = made - wanted
    edges = (off[..., 1:] - off[..., :-1]).abs().mean() + (off[..., 1:, :] - off[..., :-1, :]).abs().mean()
    hue = (off - off.mean(1, keepdim=True)).abs().mean()
    blocks = functional.avg_pool2d(off, 4).abs().mean()
    return off.abs().mean() + 0.5 * edges + 0.5 * hue + 0.5 * blocks


def draw_batch(pictures: NDArray[np.uint8], lot: np.random.Generator, step: int, batch: int) -> torch.Tensor:
    """Pictures for one step, float32 (n, 3, h, w): crops of half the side, whole ones at half size, or whole ones."""
    side, kind = pictures.shape[1], ("crop", "half", "crop", "whole")[step % 4]
    rows = np.sort(lot.integers(len(pictures), size=max(1, batch // 4) if kind == "whole" else batch))
    if kind == "whole":
        return to_tensor(pictures[rows])
    if kind == "half":
        return functional.avg_pool2d(to_tensor(pictures[rows]), 2)
    half = side // 2
    corners = lot.integers(0, side - half + 1, size=(len(rows), 2))
    return to_tensor(
        np.stack([pictures[r, y : y + half, x : x + half] for r, (y, x) in zip(rows, corners, strict=True)])
    )


def train_vae(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    batch: int = 32,
    max_steps: int | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/vae.pt; returns the last figures.

    `total_seconds` is the whole training time over all resumptions, along which the learning rate falls.
    """
    pictures = open_pictures(folder)
    torch.manual_seed(0)
    vae = build_vae().to(device)
    loop = Loop("vae", folder, vae, Optimiser(vae, muon_lr=0.02, adam_lr=2e-3), Average(vae, 0.998))
    loop.resume()

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        wanted = draw_batch(pictures, np.random.default_rng([11, step]), step, batch).to(device)
        loss, kl = _losses(vae, wanted)
        return loss + KL_WEIGHT * kl, {"kl": kl.item()}

    return loop.run(loss_of, budget, total_seconds, max_steps)


def _losses(vae: Any, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.autocast(wanted.device.type, torch.bfloat16):
        posterior = vae.encode(wanted).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        latents = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        made = vae.decode(latents).sample
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return picture_loss(made.float(), wanted), kl


def load_vae(folder: Path) -> Any:
    """The trained autoencoder with averaged weights, for use. Raises FileNotFoundError before the first checkpoint."""
    state = load_checkpoint(folder / "vae.pt")
    if state is None:
        raise FileNotFoundError(folder / "vae.pt")
    vae = build_vae()
    vae.load_state_dict(state["average"])
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def psnr(vae: Any, pictures: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of the round trip over `pictures` (uint8 n, h, w, 3), decibels, mean over pictures."""
    wanted = to_tensor(pictures)
    made = vae.decode(vae.encode(wanted).latent_dist.mean).sample.clamp(-1, 1)
    errors = ((made - wanted) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * torch.log10(errors + 1e-10)).mean()) if len(pictures) else math.nan
