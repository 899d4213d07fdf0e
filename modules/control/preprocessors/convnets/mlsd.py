"""M-LSD: straight lines by their middles and ends (Gu et al., arXiv:2106.00186), the large network of 512 pixels.

A MobileNetV2 (Sandler et al., arXiv:1801.04381) and three levels back up; the names are those of
`mlsd_large_512_fp32.pth`, whose strides pad to the right and below only, as TensorFlow's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
"""Expansion, channels, blocks and stride."""
TAPPED = (1, 3, 6, 10, 13)
"""Blocks whose features go up again."""
FIRST = 32
"""Channels before the first stage."""
INNER = 64
SKIPPED = 7
"""Channels of the answer that are for training alone; the middle and four ends follow."""
MOST_LINES = 200
PEAK = 3
"""Side in cells of the square in which a line's middle is the likeliest."""


class Step(nn.Sequential):
    """A convolution, normalised, cut at 6."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        pad = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(
            nn.Conv2d(before, after, kernel, stride, pad, groups=groups, bias=False), nn.BatchNorm2d(after), nn.ReLU6()
        )
        self._strides = stride > 1

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Features, smaller by the stride."""
        return super().forward(functional.pad(seen, (0, 1, 0, 1)) if self._strides else seen)


class Inverted(nn.Module):
    """An inverted residual."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.conv = nn.Sequential(
            *([Step(before, wide, 1)] if expansion > 1 else []),
            Step(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self._adds = stride == 1 and before == after

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Features, smaller by the stride."""
        found: torch.Tensor = self.conv(seen)
        return seen + found if self._adds else found


def _layer(before: int, after: int, kernel: int, apart: int = 1) -> nn.Sequential:
    pad = apart * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, padding=pad, dilation=apart), nn.BatchNorm2d(after), nn.ReLU()
    )


class Joined(nn.Module):
    """What came up from below beside the features of a level."""

    def __init__(self, level: int, below: int, grows: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = _layer(below, INNER, 1), _layer(level, INNER, 1)
        self._grows = grows

    def forward(self, level: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """Both, at the level's size."""
        below = self.conv1(below)
        if self._grows:
            below = functional.interpolate(below, scale_factor=2.0, mode="bilinear", align_corners=True)
        return torch.cat([self.conv2(level), below], 1)


class Refined(nn.Module):
    """A residual and a narrowing convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = _layer(2 * INNER, 2 * INNER, 3), _layer(2 * INNER, INNER, 3)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Features of the inner width."""
        found: torch.Tensor = self.conv2(self.conv1(seen) + seen)
        return found


class Answer(nn.Module):
    """The last features as channels of the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = _layer(INNER, INNER, 3, apart=5), _layer(INNER, INNER, 3)
        self.conv3 = nn.Conv2d(INNER, 16, 1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """(n, 16, h, w)."""
        found: torch.Tensor = self.conv3(self.conv2(self.conv1(seen)))
        return found


class Mlsd(nn.Module):
    """Pictures (n, 4, height, width) of -1 to 1, the fourth channel that of ones before scaling, to (n, 9, h/2, w/2).

    The first channel is how likely a line's middle is there, before the sigmoid; the next four say where its ends lie
    from there: x and y of the one and of the other, in cells. Both sides are multiples of sixteen.
    """

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [Step(4, FIRST, 3, 2)]
        before = FIRST
        for expansion, channels, count, stride in STAGES:
            for number in range(count):
                blocks.append(Inverted(before, channels, stride if number == 0 else 1, expansion))
                before = channels
        self.backbone = nn.ModuleDict({"features": nn.Sequential(*blocks)})
        widths = [channels for _, channels, _, _ in STAGES]
        self.block15, self.block16 = Joined(widths[3], widths[4], grows=False), Refined()
        self.block17, self.block18 = Joined(widths[2], INNER, grows=True), Refined()
        self.block19, self.block20 = Joined(widths[1], INNER, grows=True), Refined()
        self.block21, self.block22 = Joined(widths[0], INNER, grows=True), Refined()
        self.block23 = Answer()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The answer without what is for training."""
        seen, levels = pictures, []
        for number, block in enumerate(self.backbone.get_submodule("features").children()):
            seen = block(seen)
            if number in TAPPED:
                levels.append(seen)
        found = levels[-1]
        for number in range(4):
            joined, refined = (self.get_submodule(f"block{15 + 2 * number + more}") for more in (0, 1))
            found = refined(joined(levels[3 - number], found))
        answer: torch.Tensor = self.block23(found)
        return answer[:, SKIPPED:]


def find_lines(answer: torch.Tensor, sure: float, long: float) -> NDArray[Any]:
    """Lines (n, 4) of an answer (9, h, w): x and y of both ends in cells, of which two pixels make one.

    Those are kept whose middle is a peak that is likelier than `sure`, and that are longer than `long` cells; the
    likeliest 200 at most.
    """
    likely = answer[0].sigmoid()
    peaks = functional.max_pool2d(likely[None, None], PEAK, stride=1, padding=PEAK // 2)[0, 0] == likely
    scores, places = torch.where(peaks, likely, 0.0).flatten().topk(min(MOST_LINES, likely.numel()))
    rows, columns = places // likely.shape[1], places % likely.shape[1]
    ends = answer[1:5, rows, columns].T
    lengths = (ends[:, :2] - ends[:, 2:]).norm(dim=1)
    middles = torch.stack([columns, rows, columns, rows], 1)
    return np.asarray((middles + ends)[(scores > sure) & (lengths > long)].numpy())
