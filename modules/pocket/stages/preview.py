"""Stage "preview": a tiny decoder of the family's latents, for looking at pictures while they are drawn.

The architecture and the names of its tensors are those of TAESD's decoder (github.com/madebyollin/taesd), narrower. It
learns from what the autoencoder makes of scenes, with some noise on the latents, as unfinished ones have it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.render import render
from modules.pocket.stages.folders import write_card
from modules.pocket.stages.latents import encode_pictures, whitened_vae
from modules.pocket.stages.pictures import SEED, SIDE, open_pictures
from modules.pocket.stages.vae import picture_loss, to_tensor
from modules.sd_vae.taesd import MARK, latent_mark
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Loop
from modules.training.muon import Optimiser
from modules.training.precision import Precision

WIDTH = 16
CHANNELS = 4
CELLS = 12
"""Side of the piece of latents that is decoded in a step; the decoder sees no farther than about six cells."""
PIECES = 2
"""Pieces taken from each picture, which was dear to encode."""
NOISE = 0.08
"""Standard deviation of the noise on latents of variance 1, at most."""
SIZE_LIMIT = 1_000_000
FILE = "taesd_decoder.safetensors"
ABOUT = (
    "A tiny decoder of the pocket family's latents in TAESD's layout, for previews while a picture is drawn. The "
    "header names the latents that it reads, so the studio takes it for this family's VAE and for no other."
)


def build_preview() -> Any:
    """A fresh decoder: latents (n, 4, h, w) to pictures (n, 3, 8 h, 8 w) in -1..1, 78 thousand parameters."""
    from diffusers.models.autoencoders.vae import DecoderTiny

    return DecoderTiny(
        in_channels=CHANNELS,
        out_channels=3,
        num_blocks=(3, 3, 3, 1),
        block_out_channels=(WIDTH,) * 4,
        upsampling_scaling_factor=2,
        act_fn="relu",
        upsample_fn="nearest",
    )


def train_preview(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    batch: int = 4,
    max_steps: int | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/preview.pt; returns the last figures.

    Raises FileNotFoundError where the stages "scenes" and "vae" have not been run.
    """
    pictures, vae = open_pictures(folder), whitened_vae(folder).to(device)
    torch.manual_seed(0)
    decoder = build_preview().to(device)
    loop = Loop("preview", folder, decoder, Optimiser(decoder, muon_lr=0.02, adam_lr=2e-3), Average(decoder, 0.995))
    loop.resume()
    precision = Precision(device)

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        lot = np.random.default_rng([43, step])
        wanted = _pictures(pictures, lot, step, batch).to(device)
        known, wanted = _pieces(encode_pictures(vae, wanted), wanted, lot)
        known = known + lot.uniform(0, NOISE) * torch.randn_like(known)
        with precision.autocast():
            made = decoder(known)
        return picture_loss(made.float(), wanted), {}

    return loop.run(loss_of, budget, total_seconds, max_steps)


def _pictures(pictures: NDArray[np.uint8], lot: np.random.Generator, step: int, batch: int) -> torch.Tensor:
    """Whole pictures, in two steps of three four times as many at half size, which is drawn as well."""
    half = step % 3 > 0
    rows = np.sort(lot.integers(len(pictures), size=4 * batch if half else batch))
    wanted = to_tensor(pictures[rows])
    return functional.avg_pool2d(wanted, 2) if half else wanted


def _pieces(known: torch.Tensor, wanted: torch.Tensor, lot: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """PIECES squares of latents from each picture, with what lies under them."""
    side = min(CELLS, *known.shape[-2:])
    cut, under = [], []
    for cells, picture in zip(known, wanted, strict=True):
        for _ in range(PIECES if cells.shape[-1] > 2 * side else 1):
            top, left = (int(lot.integers(0, free - side + 1)) for free in cells.shape[-2:])
            cut.append(cells[:, top : top + side, left : left + side])
            under.append(picture[:, 8 * top : 8 * (top + side), 8 * left : 8 * (left + side)])
    return torch.stack(cut), torch.stack(under)


def load_preview(folder: Path) -> Any:
    """The trained decoder with averaged weights. Raises FileNotFoundError before the first checkpoint."""
    state = load_checkpoint(folder / "preview.pt")
    if state is None:
        raise FileNotFoundError(folder / "preview.pt")
    decoder = build_preview()
    decoder.load_state_dict(state["average"])
    return decoder.eval().requires_grad_(False)


@torch.no_grad()
def judge_preview(decoder: Any, vae: Any, count: int = 32) -> dict[str, float]:
    """PSNR in decibels on held-out scenes, against the scene and, beside it, what the autoencoder's own decoder has."""
    own: list[float] = []
    full: list[float] = []
    for index in range(count):
        wanted = to_tensor(render(draw_scene(SEED + 1, index), SIDE)[None])
        known = encode_pictures(vae, wanted)
        for rows, made in ((own, decoder(known)), (full, vae.decode(known).sample)):
            rows.append(float(-10 * torch.log10(((made.clamp(-1, 1) - wanted) / 2).square().mean() + 1e-10)))
    return {"psnr": round(float(np.mean(own)), 2), "vae_psnr": round(float(np.mean(full)), 2), "scenes": count}


def export_preview(folder: Path, target: Path) -> int:
    """Writes `target`/taesd_decoder.safetensors in float16 under TAESD's names; returns its bytes.

    Raises ValueError where it is larger than SIZE_LIMIT.
    """
    from safetensors.torch import save_file

    tensors = {}
    for name, value in load_preview(folder).state_dict().items():
        _, number, rest = name.split(".", 2)
        # The published list of layers counts the clamp at its start.
        tensors[f"{int(number) + 1}.{rest}"] = value.half().contiguous()
    target.mkdir(parents=True, exist_ok=True)
    beside = target / "preview.part"
    save_file(tensors, beside, {MARK: latent_mark(whitened_vae(folder).half()), "license": "Apache-2.0"})
    if (size := beside.stat().st_size) > SIZE_LIMIT:
        raise ValueError(f"{size} bytes are more than {SIZE_LIMIT}.")
    beside.chmod(0o644)
    os.replace(beside, target / FILE)
    if state := load_checkpoint(folder / "preview.pt"):
        write_card(target / "README.md", "pocket-preview", ABOUT, state)
    return size
