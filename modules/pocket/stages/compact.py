"""The network of the pocket upscalers, and how pictures are spoilt to give it something to learn from.

The architecture is the compact one of Real-ESRGAN (arXiv:2107.10833): 3 by 3 convolutions on the small picture only,
then a pixel shuffle, added to the picture enlarged by repetition. Its tensors are named as the published files name
them, `body.0.weight` and so on, so whatever opens those opens ours.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

BLUR, NOISE, JPEG = 0.5, 0.35, 0.35
"""How often a batch is blurred a little before it is made small, and gets noise or JPEG's blocks afterwards."""


class Compact(nn.Module):
    """(n, 3, h, w) in 0..1 to (n, 3, h · scale, w · scale); not clamped."""

    def __init__(self, scale: int, width: int = 32, depth: int = 6) -> None:
        """`depth` inner convolutions of `width` channels. Starts as enlarging by repetition."""
        super().__init__()
        self.scale = scale
        self.body = nn.ModuleList([nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)])
        for _ in range(depth):
            self.body += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body.append(nn.Conv2d(width, 3 * scale * scale, 3, padding=1))
        for layer in self.body[::2]:
            nn.init.kaiming_normal_(layer.weight, a=0.25)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.body[-1].weight)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The enlarged pictures."""
        hidden = pictures
        for layer in self.body:
            hidden = layer(hidden)
        base = functional.interpolate(pictures, scale_factor=float(self.scale), mode="nearest")
        return base + functional.pixel_shuffle(hidden, self.scale)


def enlarging_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Huber's loss of pixels and of neighbour differences, quadratic below a tenth of the range.

    Not L1: most of a scene is flat, so for L1 the network that changes nothing is a place from which nothing leads on.
    """
    off = made - wanted
    parts = (off, off[..., 1:] - off[..., :-1], off[..., 1:, :] - off[..., :-1, :])
    return 10 * torch.stack([functional.huber_loss(part, torch.zeros_like(part), delta=0.1) for part in parts]).sum()


def shrink(pictures: torch.Tensor, scale: int) -> torch.Tensor:
    """(n, 3, h, w) to (n, 3, h / scale, w / scale) by the mean of each block, as an anti-aliased renderer would."""
    return functional.avg_pool2d(pictures, scale)


def spoil(pictures: torch.Tensor, scale: int, lot: np.random.Generator) -> torch.Tensor:
    """Sharp pictures (n, 3, h, w) in 0..1 made small and a little worse, as pictures that need enlarging are.

    `lot` chooses: blur, the filter of the shrinking, noise, JPEG. About a quarter of all batches are only shrunk.
    """
    if lot.random() < BLUR:
        pictures = blur(pictures, scale * lot.uniform(0.15, 0.5))
    small = [
        lambda: shrink(pictures, scale),
        lambda: functional.interpolate(pictures, scale_factor=1 / scale, mode="bicubic", antialias=True),
        lambda: functional.interpolate(pictures, scale_factor=1 / scale, mode="bilinear", antialias=True),
    ][int(lot.integers(3))]()
    if lot.random() < NOISE:
        noise = lot.normal(0, lot.uniform(0.002, 0.02), tuple(small.shape)).astype(np.float32)
        small = small + torch.from_numpy(noise).to(small)
    if lot.random() < JPEG:
        small = through_jpeg(small, int(lot.integers(70, 96)))
    return small.clamp(0, 1)


def blur(pictures: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of `sigma` pixels; the border repeats itself."""
    reach = max(1, round(3 * sigma))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=pictures.device) / sigma) ** 2)
    weights = (weights / weights.sum()).to(pictures.dtype)
    channels = pictures.shape[1]
    padded = functional.pad(pictures, (reach,) * 4, mode="replicate")
    down = functional.conv2d(padded, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return functional.conv2d(down, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def through_jpeg(pictures: torch.Tensor, quality: int) -> torch.Tensor:
    """What is left of the pictures after JPEG of that quality, each compressed alone."""
    made = []
    for picture in (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
        made.append(np.asarray(Image.open(buffer).convert("RGB")))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).to(pictures) / 255
