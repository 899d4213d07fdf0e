"""Stage "latents": encodes the training pictures and their captions once, so that diffusion sees neither again.

The latents are whitened: mean and covariance of the four channels over the data set are folded into the autoencoder's
two 1 by 1 convolutions, exactly, so that the pipeline needs no shift and a scaling factor of 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.captions import caption
from modules.pocket.dataset import SEED, open_pictures
from modules.pocket.text import WIDTH, embed, load_text
from modules.pocket.tokens import LENGTH
from modules.pocket.vae import load_vae, to_tensor
from modules.pocket.world import draw_scene
from modules.training.journal import Budget, load_checkpoint, save_checkpoint

WORDINGS = 3
"""Captions kept for each scene."""

CHUNK = 64


@torch.no_grad()
def encode_pictures(vae: Any, pictures: Any) -> torch.Tensor:
    """Latent means, float32 (n, 4, h/8, w/8), of uint8 pictures (n, h, w, 3); computed in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        mean: torch.Tensor = vae.encode(to_tensor(pictures)).latent_dist.mean
    return mean.float()


@torch.no_grad()
def whiten(vae: Any, latents: torch.Tensor) -> None:
    """Changes `vae` in place so that `latents` (what it encoded) would come out with mean 0 and covariance 1.

    Decoding undoes it exactly. The posterior variance, tiny here, becomes one constant a channel.
    """
    flat = latents.double().permute(1, 0, 2, 3).flatten(1)
    mean = flat.mean(1)
    values, vectors = torch.linalg.eigh(torch.cov(flat))
    turn = vectors @ torch.diag(values.clamp_min(1e-8).rsqrt()) @ vectors.T
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    weight, bias = before.weight.double()[:, :, 0, 0], before.bias.double()
    weight[:channels], bias[:channels] = turn @ weight[:channels], turn @ (bias[:channels] - mean)
    weight[channels:], bias[channels:] = 0.0, -10.0
    before.weight.copy_(weight[:, :, None, None])
    before.bias.copy_(bias)
    out = after.weight.double()[:, :, 0, 0]
    after.bias.copy_(after.bias.double() + out @ mean)
    after.weight.copy_((out @ torch.linalg.inv(turn))[:, :, None, None])
    vae.register_to_config(scaling_factor=1.0)


def make_latents(folder: Path, count: int, budget: Budget) -> bool:
    """Writes vae-white.pt, latents.pt, latents.npy and texts.npy into `folder`; False where the budget ended first.

    An interrupted run goes on at the chunk it had reached.
    """
    pictures = open_pictures(folder)[:count]
    vae, (tokenizer, encoder) = load_vae(folder), load_text(folder)
    white = load_checkpoint(folder / "vae-white.pt")
    if white is None:
        rows = np.random.default_rng(5).permutation(len(pictures))[:1024]
        parts = [
            encode_pictures(vae, pictures[np.sort(part)]) for part in np.array_split(rows, max(1, len(rows) // CHUNK))
        ]
        whiten(vae, torch.cat(parts))
        save_checkpoint(folder / "vae-white.pt", vae.state_dict())
    else:
        vae.load_state_dict(white)
    side = pictures.shape[1] // 8
    latents = _open(folder / "latents.npy", (len(pictures), 4, side, side))
    texts = _open(folder / "texts.npy", (len(pictures) * WORDINGS + 1, LENGTH, WIDTH))
    texts[-1] = embed(tokenizer, encoder, [""])[0].numpy()
    state = load_checkpoint(folder / "latents.pt") or {}
    done = int(state["done"]) if state.get("count") == len(pictures) else 0
    for start in range(done, len(pictures), CHUNK):
        if budget.over:
            return False
        stop = min(start + CHUNK, len(pictures))
        latents[start:stop] = encode_pictures(vae, pictures[start:stop]).numpy()
        texts[start * WORDINGS : stop * WORDINGS] = embed(tokenizer, encoder, _wordings(start, stop)).numpy()
        save_checkpoint(folder / "latents.pt", {"done": stop, "count": len(pictures)})
    return True


def _wordings(start: int, stop: int) -> list[str]:
    texts = []
    for index in range(start, stop):
        lot, scene = np.random.default_rng([SEED, index, 3]), draw_scene(SEED, index)
        texts += [caption(scene, lot).text for _ in range(WORDINGS)]
    return texts


def _open(path: Path, shape: tuple[int, ...]) -> Any:
    fresh = not path.exists() or np.load(path, mmap_mode="r").shape != shape
    return np.lib.format.open_memmap(path, mode="w+" if fresh else "r+", dtype=np.float16, shape=shape)


def open_latents(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """(latents, texts) as float16 tensors in memory, as far as the stage has come.

    `texts` holds WORDINGS rows a scene and the empty caption last. Raises FileNotFoundError before the first chunk.
    """
    state = load_checkpoint(folder / "latents.pt")
    if state is None:
        raise FileNotFoundError(folder / "latents.pt")
    latents = torch.from_numpy(np.load(folder / "latents.npy"))
    texts = torch.from_numpy(np.load(folder / "texts.npy"))
    done = int(state["done"])
    return latents[:done].clone(), torch.cat([texts[: done * WORDINGS], texts[-1:]])
