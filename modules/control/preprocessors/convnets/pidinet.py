"""PiDiNet: edges by convolutions over differences of pixels (Su et al., arXiv:2108.07009).

A difference convolution is an ordinary one with another kernel (section 3.2), which is how it is computed here; weights
and names are those of the trained one, `table5_pidinet.pth`. That is the network of 60 channels whose layers are
central, angular, radial and plain in turn, with dilated modules (CDCM) and spatial attention (CSAM) before each output.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

WIDTH, DILATED = 60, 24
"""Channels of the first stage, and of the modules before the outputs."""
ROUND = (3, 0, 1, 6, 4, 2, 7, 8, 5)
"""Each pixel's neighbour round the middle of three by three."""
OUTER, INNER = (0, 2, 4, 10, 14, 20, 22, 24), (6, 7, 8, 11, 13, 16, 17, 18)
"""Of five by five, the two rings that radial differences are taken between."""


def as_plain(weight: torch.Tensor) -> torch.Tensor:
    """The kernel as it is."""
    return weight


def as_central(weight: torch.Tensor) -> torch.Tensor:
    """Differences from the pixel in the middle."""
    kernel = weight.clone()
    kernel[:, :, 1, 1] -= weight.sum((2, 3))
    return kernel


def as_angular(weight: torch.Tensor) -> torch.Tensor:
    """Differences between neighbours round the middle."""
    flat = weight.flatten(2)
    return (flat - flat[:, :, ROUND]).reshape(weight.shape)


def as_radial(weight: torch.Tensor) -> torch.Tensor:
    """Differences between two rings; a kernel of five by five, of which the first weight is no part."""
    flat = weight.flatten(2)[:, :, 1:]
    kernel = weight.new_zeros(*weight.shape[:2], 25)
    kernel[:, :, OUTER], kernel[:, :, INNER] = flat, -flat
    return kernel.reshape(*weight.shape[:2], 5, 5)


KINDS: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (as_central, as_angular, as_radial, as_plain)
STAGES = ((1, 3), (2, 4), (4, 4), (4, 4))
"""Width in that of the first stage, and blocks; the convolution before them is the first of the row of kinds."""


class Differing(nn.Module):
    """A convolution over differences; keeps the size."""

    def __init__(self, kind: int, before: int, after: int, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before // groups, 3, 3))
        self._kernel, self._groups = KINDS[kind % len(KINDS)], groups

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """(n, before, h, w) to (n, after, h, w)."""
        kernel = self._kernel(self.weight)
        return functional.conv2d(seen, kernel, padding=kernel.shape[-1] // 2, groups=self._groups)


class Block(nn.Module):
    """Differences in each channel, then a mix of channels, beside a shortcut; `halves` makes it half as large."""

    def __init__(self, kind: int, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.conv1 = Differing(kind, before, before, groups=before)
        self.conv2 = nn.Conv2d(before, after, 1, bias=False)
        self.shortcut = nn.Conv2d(before, after, 1) if halves else None

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Features of the block's width."""
        if self.shortcut is not None:
            seen = functional.max_pool2d(seen, 2, ceil_mode=True)
        found: torch.Tensor = self.conv2(self.conv1(seen).relu())
        return found + (seen if self.shortcut is None else self.shortcut(seen))


class Dilated(nn.Module):
    """Looks at four distances at once (CDCM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, DILATED, 1)
        for number, apart in enumerate((5, 7, 9, 11), 1):
            conv = nn.Conv2d(DILATED, DILATED, 3, padding=apart, dilation=apart, bias=False)
            self.add_module(f"conv2_{number}", conv)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Their sum."""
        seen = self.conv1(seen.relu())
        return torch.stack([self.get_submodule(f"conv2_{number}")(seen) for number in range(1, 5)]).sum(0)


class Attention(nn.Module):
    """Where to look (CSAM)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(DILATED, 4, 1)
        self.conv2 = nn.Conv2d(4, 1, 3, padding=1, bias=False)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """The features, each place weighed."""
        weight: torch.Tensor = self.conv2(self.conv1(seen.relu())).sigmoid()
        return seen * weight


class PiDiNet(nn.Module):
    """Pictures (n, 3, height, width) of 0 to 1, blue first, to edges (n, 1, height, width) of 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.init_block = Differing(0, 3, WIDTH)
        before, kind, widths = WIDTH, 1, []
        for stage, (share, count) in enumerate(STAGES, 1):
            for number in range(1, count + 1):
                halves = stage > 1 and number == 1
                self.add_module(f"block{stage}_{number}", Block(kind, before, share * WIDTH, halves))
                before, kind = share * WIDTH, kind + 1
            widths.append(before)
        self.dilations = nn.ModuleList(Dilated(width) for width in widths)
        self.attentions = nn.ModuleList(Attention() for _ in widths)
        self.conv_reduces = nn.ModuleList(nn.ModuleDict({"conv": nn.Conv2d(DILATED, 1, 1)}) for _ in widths)
        self.classifier = nn.Conv2d(len(STAGES), 1, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The weighed sum of what the stages say, as a probability."""
        seen, size, sides = self.init_block(pictures), pictures.shape[-2:], []
        for stage, (_, count) in enumerate(STAGES, 1):
            for number in range(1, count + 1):
                seen = self.get_submodule(f"block{stage}_{number}")(seen)
            found = self.attentions[stage - 1](self.dilations[stage - 1](seen))
            side = self.conv_reduces[stage - 1].get_submodule("conv")(found)
            sides.append(functional.interpolate(side, size, mode="bilinear", align_corners=False))
        edges: torch.Tensor = self.classifier(torch.cat(sides, 1))
        return edges.sigmoid()
