"""Stages "upscale-x2" and "upscale-x4": networks that enlarge pictures of the pocket world, in Real-ESRGAN's layout.

The sharp side is a scene rendered at SIDE pixels, the other side the same picture made small and slightly spoilt.
There is no discriminator, so nothing is invented that was not there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.render import render
from modules.pocket.stages.compact import Compact, enlarging_loss, shrink, spoil
from modules.pocket.stages.pictures import SEED, render_into
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Loop
from modules.training.muon import Optimiser
from modules.training.precision import Precision

SIDE = 512
"""Pixels of the sharp pictures."""
SCENES = 600
PATCH = 32
"""Side of the small picture's patch; the sharp one's is `scale` times that."""
SCALES = (2, 4)
HELD_OUT = SEED + 1
"""The data set that the figures are of."""
SIZE_LIMIT = 1_500_000
"""Bytes that one exported file may have."""


def train_upscale(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    scale: int = 2,
    batch: int = 8,
    max_steps: int | None = None,
    device: str = "cpu",
    scenes: int = SCENES,
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/upscale-x`scale`.pt; returns the last figures.

    Renders `scenes` sharp pictures into `folder`/sharp.npy first, where they are not there yet. Raises ValueError for
    another scale than SCALES.
    """
    if scale not in SCALES:
        raise ValueError(f"There is no upscaler of scale {scale}; there are {SCALES}.")
    pictures = _sharp(folder, scenes, budget)
    if pictures is None:
        return {"step": 0.0}
    torch.manual_seed(0)
    network = _begin(folder, scale).to(device, memory_format=torch.channels_last)
    name = f"upscale-x{scale}"
    loop = Loop(name, folder, network, Optimiser(network, muon_lr=0.03, adam_lr=2e-3), Average(network, 0.998))
    loop.resume()
    precision = Precision(device)

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        lot = np.random.default_rng([23, scale, step])
        wanted = _patches(pictures, lot, batch, PATCH * scale)
        small = spoil(wanted, scale, lot)
        with precision.autocast():
            made = network(small.to(device, memory_format=torch.channels_last))
        return enlarging_loss(made.float(), wanted.to(device)), {}

    return loop.run(loss_of, budget, total_seconds, max_steps)


def _begin(folder: Path, scale: int) -> Compact:
    """A fresh network; the larger one takes over what the smaller has learned, but for the last layer."""
    network = Compact(scale)
    if scale > SCALES[0] and (known := load_checkpoint(folder / f"upscale-x{SCALES[0]}.pt")):
        last = f"body.{len(network.body) - 1}."
        inner = {name: value for name, value in known["average"].items() if not name.startswith(last)}
        network.load_state_dict(inner, strict=False)
    return network


def load_upscale(folder: Path, scale: int) -> Compact:
    """The trained network with averaged weights. Raises FileNotFoundError before the first checkpoint."""
    state = load_checkpoint(folder / f"upscale-x{scale}.pt")
    if state is None:
        raise FileNotFoundError(folder / f"upscale-x{scale}.pt")
    network = Compact(scale)
    network.load_state_dict(state["average"])
    return network.eval().requires_grad_(False)


def export_upscale(folder: Path, target: Path, scales: tuple[int, ...] = SCALES) -> int:
    """Writes `target`/pocket-x2.safetensors and pocket-x4.safetensors in float16; returns their bytes together.

    The file names the licence and the scale in its header. Raises ValueError where one is larger than SIZE_LIMIT.
    """
    from safetensors.torch import save_file

    target.mkdir(parents=True, exist_ok=True)
    total = 0
    for scale in scales:
        tensors = {name: value.half().contiguous() for name, value in load_upscale(folder, scale).state_dict().items()}
        beside, final = target / f"pocket-x{scale}.part", target / f"pocket-x{scale}.safetensors"
        save_file(tensors, beside, {"format": "pt", "scale": str(scale), "license": "Apache-2.0"})
        size = beside.stat().st_size
        if size > SIZE_LIMIT:
            raise ValueError(f"{size} bytes are more than {SIZE_LIMIT}.")
        beside.chmod(0o644)
        os.replace(beside, final)
        total += size
    return total


@torch.no_grad()
def judge_upscale(network: Any, scale: int, count: int = 32, side: int = 256) -> dict[str, float]:
    """Figures on `count` held-out scenes, first rendered at `side` · `scale`, then made small by block means.

    `psnr` in decibels and `sharpness`, the share of the true slope of the strongest twentieth of edges that is there
    again; the same of Lanczos beside them.
    """
    rows: dict[str, list[float]] = {"psnr": [], "sharpness": [], "lanczos_psnr": [], "lanczos_sharpness": []}
    for index in range(count):
        sharp = render(draw_scene(HELD_OUT, index), side * scale)
        wanted = _to_tensor(sharp[None])
        small = (shrink(wanted, scale) * 255).round() / 255
        image = Image.fromarray((small[0].permute(1, 2, 0) * 255).round().byte().numpy())
        lanczos = _to_tensor(np.asarray(image.resize((side * scale,) * 2, Image.Resampling.LANCZOS))[None])
        for prefix, made in (("", network(small).clamp(0, 1)), ("lanczos_", lanczos)):
            rows[prefix + "psnr"].append(float(-10 * torch.log10((made - wanted).square().mean() + 1e-10)))
            rows[prefix + "sharpness"].append(_sharpness(made, wanted))
    return {name: round(float(np.mean(values)), 3) for name, values in rows.items()}


def _sharpness(made: torch.Tensor, wanted: torch.Tensor) -> float:
    """How steep the result is where the truth is steepest, along the truth's own direction; 1 is as steep."""
    true, found = (
        torch.stack([x[..., 1:, :-1] - x[..., :-1, :-1], x[..., :-1, 1:] - x[..., :-1, :-1]]) for x in (wanted, made)
    )
    strength = true.norm(dim=0)
    edges = strength > strength.flatten().quantile(0.95).clamp_min(1e-3)
    along = (true * found).sum(0) / strength.clamp_min(1e-6)
    return float(along[edges].sum() / strength[edges].sum()) if bool(edges.any()) else 1.0


def _sharp(folder: Path, count: int, budget: Budget) -> NDArray[np.uint8] | None:
    """The sharp pictures, mapped; rendered first, or None where the budget ends before they all are."""
    target = folder / "sharp.npy"
    if not render_into(target, count, SIDE, budget):
        return None
    pictures: NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return pictures


def _patches(pictures: NDArray[np.uint8], lot: np.random.Generator, count: int, side: int) -> torch.Tensor:
    """`count` patches in 0..1: the busier half of twice as many, because most of a scene is flat."""
    rows = lot.integers(len(pictures), size=2 * count)
    corners = lot.integers(0, pictures.shape[1] - side + 1, size=(2 * count, 2))
    cut = np.stack([pictures[r, y : y + side, x : x + side] for r, (y, x) in zip(rows, corners, strict=True)])
    busy = np.abs(np.diff(cut[:, ::2, ::2].astype(np.int16), axis=2)).mean(axis=(1, 2, 3))
    return _to_tensor(cut[np.argsort(-busy)[:count]])


def _to_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255
