"""A canvas that the denoiser sees tile by tile: each call is of a tile's size, whatever the canvas's.

At every step all tiles are asked and their answers averaged where they overlap. Samplers go on from an answer along a
line, so averaging answers is averaging what they would make of them: with even weights that is MultiDiffusion (Bar-Tal
et al., arXiv:2302.08113, equation 5), with Gaussian ones Mixture of Diffusers (Jiménez, arXiv:2302.02412, section 3.2).
Guidance, prompts that change and corrections see the whole canvas, as they come before the cut or after the average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from modules.processing_diffusers.multiplexer.call import count_samples
from modules.processing_diffusers.multiplexer.picking import pick

VARIANCE = 0.01
"""Of the Gaussian along each axis, in units of the tile's side: that of the method's authors."""
CELLS = 4
"""Axes of latents that are laid out as (B, C, height, width)."""
TEXT_SIZES = (5, 6)
"""Numbers in SDXL's row of sizes, with or without a score at its end."""
Ask = Callable[[dict[str, Any], Any], torch.Tensor]
"""Answers a call for tiles; the window says which tile it is where it is one alone."""


class Layout(Protocol):
    """How a family's denoiser has latents."""

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """From (B, C, H, W)."""

    def unpack(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Back to (B, C, `height`, `width`)."""

    def narrow(self, arguments: dict[str, Any], canvas: tuple[int, int], part: tuple[int, int]) -> dict[str, Any]:
        """What says sizes and places on a canvas of (height, width) cells, as for a part of it."""


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """One tile: which rows and columns of the canvas it has, in cells. On a canvas whose edges meet they go round."""

    rows: torch.Tensor = field(repr=False)
    columns: torch.Tensor = field(repr=False)

    def cut(self, value: torch.Tensor, scale: int = 1) -> torch.Tensor:
        """The tile's part of something of the canvas's shape in its last two axes, `scale` of its cells for one."""
        rows, columns = (_finer(places, scale).to(value.device) for places in (self.rows, self.columns))
        return value.index_select(-2, rows).index_select(-1, columns)


def _finer(places: torch.Tensor, scale: int) -> torch.Tensor:
    return places if scale == 1 else (places[:, None] * scale + torch.arange(scale)).reshape(-1)


def places_along(length: int, tile: int, overlap: int, step: int = 1, *, wrap: bool = False) -> list[int]:
    """Where tiles begin along an axis, in cells: as few as cover it with so much overlap, evenly spread, at multiples
    of `step`.

    With `wrap` they go on from the end to the beginning, and there are two at least, so that the edges lie within one.
    """
    stride = max(tile - overlap, step)
    if wrap:
        count = max(math.ceil(length / stride), 2)
        return [round(number * length / count / step) * step for number in range(count)]
    count = math.ceil(max(length - tile, 0) / stride) + 1
    gap = (length - tile) / max(count - 1, 1)
    return [min(round(number * gap / step) * step, length - tile) for number in range(count)]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the tiles of a canvas lie. Sizes are (height, width) in cells of the latents."""

    canvas: tuple[int, int]
    tile: tuple[int, int]
    overlap: int = 0
    """What neighbours share at least."""
    step: int = 1
    """Tiles begin at multiples of it."""
    wrap: bool = False
    """The canvas's edges meet, and tiles go round."""

    def windows(self) -> tuple[Window, ...]:
        """All tiles, row by row."""
        down, across = (
            [
                torch.arange(tile).add(begin) % length
                for begin in places_along(length, tile, self.overlap, self.step, wrap=self.wrap)
            ]
            for length, tile in zip(self.canvas, self.tile, strict=True)
        )
        return tuple(Window(rows, columns) for rows in down for columns in across)


class Tiles:
    """The tiles of one pass of one lane."""

    def __init__(
        self,
        grid: Grid,
        layout: Layout,
        *,
        factor: int = 8,
        gaussian: bool = True,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`factor` is pixels for a cell; `check` is called before each call and may raise."""
        self._check, self._layout, self.factor = check, layout, factor
        self.canvas, self.tile = canvas, tile = grid.canvas, grid.tile
        self.windows = grid.windows()
        self.weight = _bell(tile[0])[:, None] * _bell(tile[1]) if gaussian else torch.ones(tile)
        self.total = torch.zeros(canvas)
        for window in self.windows:
            self.total[window.rows[:, None], window.columns] += self.weight

    def paint(self, ask: Ask, arguments: dict[str, Any], most: int) -> torch.Tensor:
        """The answer for the whole canvas, of answers to calls of at most `most` tiles each.

        `arguments` are those of a call for the canvas; those of each call are of the tile's size.
        """
        count = count_samples(arguments)
        sums: torch.Tensor | None = None
        for begin in range(0, len(self.windows), most):
            self._check()
            group = self.windows[begin : begin + most]
            answer = ask(self._cut(arguments, group, count), group[0] if len(group) == 1 else None)
            tiles = answer if answer.ndim == CELLS else self._layout.unpack(answer, *self.tile)
            packed = answer.ndim != CELLS
            if sums is None:
                sums = tiles.new_zeros(count, *tiles.shape[1:-2], *self.canvas)
            weight = self.weight.to(tiles.device)
            for window, part in zip(group, tiles.split(count), strict=True):
                rows, columns = window.rows[:, None].to(tiles.device), window.columns.to(tiles.device)
                sums[..., rows, columns] += part * weight
        assert sums is not None  # there is one tile at least
        mean = sums / self.total.to(sums.device)
        return self._layout.pack(mean) if packed else mean

    def _cut(self, arguments: dict[str, Any], group: Sequence[Window], count: int) -> dict[str, Any]:
        """The arguments of one call for those tiles, side by side."""
        spread = list(range(count)) * len(group)
        found = {}
        for name, value in self._layout.narrow(arguments, self.canvas, self.tile).items():
            parts = [self._part(name, value, window) for window in group]
            if isinstance(value, torch.Tensor) and parts[0] is not value and name != "img_ids":
                found[name] = torch.cat(parts)
            else:
                found[name] = pick(parts[0], spread, count, name)
        return found

    def _part(self, name: str, value: Any, window: Window) -> Any:
        """An argument for one tile; what has no place on the canvas comes back as it is."""
        height, width = self.canvas
        if isinstance(value, dict):
            return {key: self._part(key, item, window) for key, item in value.items()}
        if not isinstance(value, torch.Tensor):
            return value
        if name == "time_ids" and value.shape[-1] in TEXT_SIZES:
            return self._sizes(value)
        if name == "hidden_states" and value.ndim != CELLS:
            return self._layout.pack(window.cut(self._layout.unpack(value, height, width)))
        if value.ndim > 3 and tuple(value.shape[-2:]) == self.canvas:
            return window.cut(value)
        if name == "img_ids":
            side = self._side(value.shape[0])
            grid = value.reshape(height // side, width // side, -1)
            return grid[: self.tile[0] // side, : self.tile[1] // side].reshape(-1, value.shape[-1])
        return value

    def _side(self, tokens: int) -> int:
        """Cells along a token's side."""
        return math.isqrt(self.canvas[0] * self.canvas[1] // tokens)

    def _sizes(self, value: torch.Tensor) -> torch.Tensor:
        """SDXL's sizes as for a picture of the tile's own: what it was trained to draw, and uncut."""
        found = value.clone()
        size = [float(side * self.factor) for side in self.tile]
        found[..., 0:4] = torch.tensor([*size, 0.0, 0.0]).to(found)
        if value.shape[-1] == max(TEXT_SIZES):
            found[..., 4:6] = torch.tensor(size).to(found)
        return found


def _bell(length: int) -> torch.Tensor:
    """A Gaussian over the cells of an axis with its top, 1, in the middle."""
    middles = (torch.arange(length) + 0.5) / length - 0.5
    return torch.exp(-(middles**2) / (2 * VARIANCE))


@dataclass(frozen=True, eq=False, slots=True)
class Beside:
    """What stands beside a denoiser, cut to each tile once."""

    whole: Any
    known: dict[int, Any] = field(default_factory=dict)

    def within(self, window: Window, factor: int) -> Any:
        """The same for that tile."""
        if self.whole is None:
            return None
        if id(window) not in self.known:
            self.known[id(window)] = self.whole.within(window, factor)
        return self.known[id(window)]
