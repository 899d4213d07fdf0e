"""HED: edges of five sizes, learnt from people's outlines (Xie and Tu, arXiv:1504.06375).

The names are those of `ControlNetHED.pth`, which the authors of ControlNet trained anew: side outputs are added without
weights, and pictures are RGB of 0 to 255 from which a mean of its own is taken.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LEVELS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each level of the VGG trunk."""


class Level(nn.Module):
    """One level of the trunk, and its side output of one channel."""

    def __init__(self, before: int, channels: int, count: int) -> None:
        super().__init__()
        widths = [before, *[channels] * (count - 1)]
        self.convs = nn.ModuleList(nn.Conv2d(width, channels, 3, padding=1) for width in widths)
        self.projection = nn.Conv2d(channels, 1, 1)

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the level makes of the features, and its side output; both of the features' size."""
        for conv in self.convs:
            seen = functional.relu(conv(seen))
        return seen, self.projection(seen)


class Hed(nn.Module):
    """Pictures (n, 3, height, width) of 0 to 255 to edges (n, 1, height, width) of 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1, 3, 1, 1))
        before = 3
        for number, (channels, count) in enumerate(LEVELS, 1):
            self.add_module(f"block{number}", Level(before, channels, count))
            before = channels

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The mean of the side outputs at the pictures' size, as a probability."""
        seen, size, sides = pictures - self.norm, pictures.shape[-2:], []
        for number in range(1, len(LEVELS) + 1):
            if number > 1:
                seen = functional.max_pool2d(seen, 2, ceil_mode=True)
            seen, side = self.get_submodule(f"block{number}")(seen)
            sides.append(functional.interpolate(side, size, mode="bilinear", align_corners=False))
        return torch.stack(sides).mean(0).sigmoid()
