"""Generators of line drawings: informative drawings (Chan, Durand and Isola, arXiv:2203.12691) and the anime one.

The first is a residual generator, `sk_model.pth` and, for coarse lines, `sk_model2.pth`; the second a UNet like that of
pix2pix (Isola et al., arXiv:1611.07004), `netG.pth`. The names are theirs.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTH = 64
RESIDUALS = 3
DEPTH = 8
"""How often the UNet halves the picture."""
LEAK = 0.2


def _normed(layer: nn.Module, channels: int) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(channels), nn.ReLU()]


class Residual(nn.Module):
    """Two convolutions beside the features themselves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(channels, channels, 3), channels),
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(channels, channels, 3), channels)[:2],
        )

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Features of the same shape."""
        added: torch.Tensor = self.conv_block(seen)
        return seen + added


class Drawing(nn.Module):
    """Pictures (n, 3, height, width) of 0 to 1 to drawings (n, 1, height, width), black lines on white of 0 to 1.

    Both sides are multiples of four.
    """

    def __init__(self) -> None:
        super().__init__()
        wide, widest = 2 * WIDTH, 4 * WIDTH
        self.model0 = nn.Sequential(nn.ReflectionPad2d(3), *_normed(nn.Conv2d(3, WIDTH, 7), WIDTH))
        self.model1 = nn.Sequential(
            *_normed(nn.Conv2d(WIDTH, wide, 3, stride=2, padding=1), wide),
            *_normed(nn.Conv2d(wide, widest, 3, stride=2, padding=1), widest),
        )
        self.model2 = nn.Sequential(*(Residual(widest) for _ in range(RESIDUALS)))
        self.model3 = nn.Sequential(
            *_normed(nn.ConvTranspose2d(widest, wide, 3, stride=2, padding=1, output_padding=1), wide),
            *_normed(nn.ConvTranspose2d(wide, WIDTH, 3, stride=2, padding=1, output_padding=1), WIDTH),
        )
        self.model4 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(WIDTH, 1, 7), nn.Sigmoid())

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The drawings."""
        seen = pictures
        for stage in (self.model0, self.model1, self.model2, self.model3, self.model4):
            seen = stage(seen)
        return seen


class Level(nn.Module):
    """One level of the UNet with all those below it; the innermost has none below."""

    def __init__(self, outer: int, inner: int, below: Level | None) -> None:
        super().__init__()
        down = nn.Conv2d(outer, inner, 4, stride=2, padding=1)
        up = nn.ConvTranspose2d(inner * (1 if below is None else 2), outer, 4, stride=2, padding=1)
        # Layers without weights stand here as well: the names in the file count them.
        rest = [] if below is None else [nn.InstanceNorm2d(inner), below]
        self.model = nn.Sequential(nn.LeakyReLU(LEAK), down, *rest, nn.ReLU(), up, nn.InstanceNorm2d(outer))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """What came in, through the level's own activation, beside what the levels below make of it."""
        # The generator was trained with an activation in place, so its shortcut carries what the activation left.
        active = functional.leaky_relu(seen, LEAK)
        return torch.cat([active, self.model[1:](active)], 1)


class Anime(nn.Module):
    """Pictures (n, 3, height, width) of -1 to 1 to drawings (n, 1, height, width), black on white of -1 to 1.

    Both sides are multiples of 256.
    """

    def __init__(self) -> None:
        super().__init__()
        level = Level(8 * WIDTH, 8 * WIDTH, None)
        for _ in range(DEPTH - 5):
            level = Level(8 * WIDTH, 8 * WIDTH, level)
        for share in (4, 2, 1):
            level = Level(share * WIDTH, 2 * share * WIDTH, level)
        down = nn.Conv2d(3, WIDTH, 4, stride=2, padding=1)
        up = nn.ConvTranspose2d(2 * WIDTH, 1, 4, stride=2, padding=1)
        self.model = nn.ModuleDict({"model": nn.Sequential(down, level, nn.ReLU(), up, nn.Tanh())})

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The drawings."""
        drawn: torch.Tensor = self.model["model"](pictures)
        return drawn
