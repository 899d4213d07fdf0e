"""Stage "latents": encodes training pictures and captions once, so that diffusion sees neither again.

The latents are whitened: mean and covariance of the four channels over the data set are folded into the autoencoder's
two 1 by 1 convolutions, exactly, so that the pipeline needs no shift and a scaling factor of 1.

Scenes are drawn at each side on their own, so the same one is there small and large. Readers may begin while the stage
still runs: they see as many scenes as are done.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.scenes.captions import caption
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.render import render
from modules.pocket.stages.focus import draw_rows, draw_windows
from modules.pocket.stages.pictures import SEED, open_pictures
from modules.pocket.stages.text import WIDTH, embed, load_text
from modules.pocket.stages.vae import load_vae, to_tensor
from modules.pocket.tokens import LENGTH
from modules.training.journal import Budget, load_checkpoint, save_checkpoint

WORDINGS = 2
"""Captions kept for each scene."""

CHUNK = 64
REFRESH = 100
"""A reader looks so many batches apart whether more scenes are done."""


@torch.no_grad()
def encode_pictures(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    """Latent means, float32 (n, 4, h/8, w/8), of pictures (n, 3, h, w) in -1..1; computed in bfloat16."""
    with torch.autocast(pictures.device.type, torch.bfloat16):
        mean: torch.Tensor = vae.encode(pictures).latent_dist.mean
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


def whitened_vae(folder: Path) -> Any:
    """The autoencoder with whitened latents, kept in `folder`/vae-white.pt from the first call on."""
    vae, state = load_vae(folder), load_checkpoint(folder / "vae-white.pt")
    if state is None:
        pictures = open_pictures(folder)
        rows = np.random.default_rng(5).permutation(len(pictures))[:1024]
        parts = [np.sort(part) for part in np.array_split(rows, max(1, len(rows) // CHUNK))]
        whiten(vae, torch.cat([encode_pictures(vae, to_tensor(pictures[part])) for part in parts]))
        save_checkpoint(folder / "vae-white.pt", vae.state_dict())
    else:
        vae.load_state_dict(state)
    vae.register_to_config(scaling_factor=1.0)
    return vae


def make_latents(folder: Path, side: int, count: int, budget: Budget) -> bool:
    """Encodes `count` scenes drawn at `side` into `folder`/latents-SIDE.npy; False where the budget ended first.

    An interrupted run goes on at the chunk it had reached.
    """
    vae = whitened_vae(folder)
    out = _open(folder / f"latents-{side}.npy", (count, 4, side // 8, side // 8))

    def encode(start: int, stop: int) -> None:
        pictures = np.stack([render(draw_scene(SEED, index), side) for index in range(start, stop)])
        out[start:stop] = encode_pictures(vae, to_tensor(pictures)).numpy()

    return _in_chunks(folder / f"latents-{side}.pt", count, budget, encode)


def make_texts(folder: Path, count: int, budget: Budget) -> bool:
    """Embeds WORDINGS captions of each of `count` scenes into `folder`/texts.npy, the empty one last; as above."""
    tokenizer, encoder = load_text(folder)
    out = _open(folder / "texts.npy", (count * WORDINGS + 1, LENGTH, WIDTH))
    out[-1] = embed(tokenizer, encoder, [""])[0].numpy()

    def encode(start: int, stop: int) -> None:
        out[start * WORDINGS : stop * WORDINGS] = embed(tokenizer, encoder, _wordings(start, stop)).numpy()

    return _in_chunks(folder / "texts.pt", count, budget, encode)


def _in_chunks(journal: Path, count: int, budget: Budget, encode: Callable[[int, int], None]) -> bool:
    state = load_checkpoint(journal) or {}
    done = int(state["done"]) if state.get("count") == count else 0
    for start in range(done, count, CHUNK):
        if budget.over:
            return False
        stop = min(start + CHUNK, count)
        encode(start, stop)
        save_checkpoint(journal, {"done": stop, "count": count})
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


class Encoded:
    """The latents of one side and the embeddings that go with them, as far as the stage has come."""

    def __init__(self, folder: Path, side: int) -> None:
        """Raises FileNotFoundError before the first chunk of either is done."""
        self.side = side
        self._journals = (folder / f"latents-{side}.pt", folder / "texts.pt")
        self._count, self._asked = self._done(), 0
        self._latents: Any = np.load(folder / f"latents-{side}.npy", mmap_mode="r")
        self._texts: Any = np.load(folder / "texts.npy", mmap_mode="r")

    def __len__(self) -> int:
        """How many scenes there are."""
        return self._count

    def draw(
        self, lot: np.random.Generator, batch: int, drop: float, window: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`batch` latents (n, 4, side/8, side/8) and embeddings (n, LENGTH, WIDTH), float32, scenes chosen by `focus`.

        With `window` close-ups of so many cells a side instead of whole pictures.
        A share `drop` of the embeddings is that of the empty caption, for classifier-free guidance
        (arXiv:2207.12598).
        """
        self._asked += 1
        if self._asked % REFRESH == 0:
            self._count = self._done()
        rows = draw_rows(lot, self._count, batch, close=window is not None)
        latents, words = self._latents[rows], rows * WORDINGS + lot.integers(WORDINGS, size=batch)
        if window is not None:
            corners = draw_windows(lot, rows, self._count, latents.shape[-1], window)
            parts = zip(latents, corners, strict=True)
            latents = np.stack([one[:, top : top + window, left : left + window] for one, (top, left) in parts])
        words[lot.random(batch) < drop] = len(self._texts) - 1
        return torch.from_numpy(latents).float(), torch.from_numpy(self._texts[words]).float()

    def _done(self) -> int:
        states = [load_checkpoint(journal) for journal in self._journals]
        for journal, state in zip(self._journals, states, strict=True):
            if state is None:
                raise FileNotFoundError(journal)
        return min(int(state["done"]) for state in states if state is not None)
