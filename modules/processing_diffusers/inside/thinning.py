"""Self-attention over fewer tokens, or over one tile at a time: quicker calls, at the price of another picture.

Both are patches for whole calls: calls that carry one are merged with their like only. Nothing here is random, and no
sample's tokens decide what happens to another's, so a picture does not depend on its company.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from modules.contracts.features import FeatureParams

Restore = Callable[[torch.Tensor], torch.Tensor]
"""Brings what an attention gave back to all tokens."""
Change = Callable[[torch.Tensor, int, int, int], tuple[torch.Tensor, Restore]]
"""Fewer or other tokens of (B, height × width, C), given height, width and the level, and the way back."""
PIXELS = 8
"""Of a picture along a cell of the latents."""


@dataclass(frozen=True, slots=True)
class TokenMerging:
    """Merges tokens that are alike where there are most of them (Bolya and Hoffman, arXiv:2303.17604)."""

    ratio: float
    """Share of the tokens that is merged into others, up to 0.75."""

    @property
    def signature(self) -> Hashable:
        """Equal for equal ratios."""
        return "token merging", self.ratio

    def applied(self, module: Any) -> AbstractContextManager[None]:
        """Change `module` for the length of a block. One without such attention stays as it is."""
        return _changed(module, 0, lambda tokens, height, width, level: merged(tokens, height, width, self.ratio))


@dataclass(frozen=True, slots=True)
class HyperTiles:
    """Attention within tiles of the picture, as tfernd's HyperTile has it."""

    tile: int
    """Least side of a tile in pixels."""
    depth: int = 0
    """Levels below the first that are tiled as well."""

    @property
    def signature(self) -> Hashable:
        """Equal for equal tiles."""
        return "tiles", self.tile, self.depth

    def applied(self, module: Any) -> AbstractContextManager[None]:
        """Change `module` for the length of a block. One without such attention stays as it is."""
        return _changed(module, self.depth, self._tiles)

    def _tiles(self, tokens: torch.Tensor, height: int, width: int, level: int) -> tuple[torch.Tensor, Restore]:
        least = max(self.tile // (PIXELS * 2**level), 1)
        return tiled(tokens, (height, width), (pieces_of(height, least), pieces_of(width, least)))


def thinning_of(features: FeatureParams) -> tuple[TokenMerging | HyperTiles, ...]:
    """The patches that a request asks for; none as declared."""
    found: list[TokenMerging | HyperTiles] = []
    if features.token_merging > 0:
        found.append(TokenMerging(features.token_merging))
    if features.hypertile > 0:
        found.append(HyperTiles(features.hypertile, features.hypertile_depth))
    return tuple(found)


def merged(tokens: torch.Tensor, height: int, width: int, ratio: float) -> tuple[torch.Tensor, Restore]:
    """Tokens of which a share was merged into the nearest of those that stay, and the way back.

    One of each two by two cells stays whatever happens; of the others those go that are most like one of these.
    """
    count = height * width
    places = torch.arange(count, device=tokens.device).reshape(height, width)
    stay = places[::2, ::2].flatten()
    others = torch.ones(count, dtype=torch.bool, device=tokens.device)
    others[stay] = False
    free = places.flatten()[others]
    number = min(int(count * ratio), len(free))
    if number == 0:
        return tokens, lambda output: output
    metric = torch.nn.functional.normalize(tokens.float(), dim=-1)
    best, nearest = (metric[:, free] @ metric[:, stay].transpose(1, 2)).max(dim=-1)
    order = best.argsort(dim=-1, descending=True, stable=True)
    going, keeping = order[:, :number], order[:, number:]
    into = nearest.gather(1, going)
    width_of = tokens.shape[-1]

    def wide(index: torch.Tensor, channels: int = width_of) -> torch.Tensor:
        return index[..., None].expand(-1, -1, channels)

    loose = tokens[:, free]
    gathered = tokens[:, stay].scatter_reduce(1, wide(into), loose.gather(1, wide(going)), reduce="mean")

    def restore(output: torch.Tensor) -> torch.Tensor:
        channels, kept = output.shape[-1], keeping.shape[1]
        unmerged, joined = output[:, :kept], output[:, kept:]
        whole = output.new_empty(output.shape[0], count, channels)
        whole[:, stay] = joined
        back = output.new_empty(output.shape[0], len(free), channels)
        back.scatter_(1, wide(keeping, channels), unmerged)
        back.scatter_(1, wide(going, channels), joined.gather(1, wide(into, channels)))
        whole[:, free] = back
        return whole

    return torch.cat([loose.gather(1, wide(keeping)), gathered], dim=1), restore


def pieces_of(length: int, least: int) -> int:
    """Into how many equal pieces of at least that length a side is cut."""
    return max((count for count in range(1, length + 1) if length % count == 0 and length // count >= least), default=1)


def tiled(tokens: torch.Tensor, size: tuple[int, int], pieces: tuple[int, int]) -> tuple[torch.Tensor, Restore]:
    """Tokens with a row for each tile, those of a sample side by side, and the way back."""
    (height, width), (down, across), batch = size, pieces, tokens.shape[0]
    if down * across == 1:
        return tokens, lambda output: output
    high, wide = height // down, width // across
    cells = tokens.reshape(batch, down, high, across, wide, -1).permute(0, 1, 3, 2, 4, 5)

    def restore(output: torch.Tensor) -> torch.Tensor:
        parts = output.reshape(batch, down, across, high, wide, -1).permute(0, 1, 3, 2, 4, 5)
        return parts.reshape(batch, height * width, -1)

    return cells.reshape(batch * down * across, high * wide, -1), restore


@contextlib.contextmanager
def _changed(module: Any, depth: int, change: Change) -> Iterator[None]:
    """Round the self-attentions of the largest level and of `depth` more below it."""
    with contextlib.ExitStack() as stack:
        for grid, level in _grids(module, depth):
            watcher = _Grid(level, change)
            stack.callback(grid.register_forward_pre_hook(watcher.measure).remove)
            for block in grid.transformer_blocks:
                stack.callback(block.attn1.register_forward_pre_hook(watcher.enter).remove)
                stack.callback(block.attn1.register_forward_hook(watcher.leave).remove)
        yield


def _grids(module: Any, depth: int) -> Iterator[tuple[Any, int]]:
    """The modules that see cells in rows and columns, each with how often its cells were halved."""
    down, up = getattr(module, "down_blocks", ()), getattr(module, "up_blocks", ())
    levels = [level for level, block in enumerate(down) if getattr(block, "attentions", None)][: depth + 1]
    for level in levels:
        for block in (down[level], up[len(up) - 1 - level]):
            yield from ((grid, level) for grid in getattr(block, "attentions", None) or ())


class _Grid:
    """The hooks round the attentions of one grid."""

    def __init__(self, level: int, change: Change) -> None:
        self._level, self._change = level, change
        self._size = (0, 0)
        self._restore: Restore | None = None

    def measure(self, module: Any, given: tuple[Any, ...]) -> None:
        height, width = given[0].shape[-2:]
        self._size = (height, width)

    def enter(self, module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, self._restore = self._change(given[0], *self._size, self._level)
        return (tokens, *given[1:])

    def leave(self, module: Any, given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        restore, self._restore = self._restore, None
        return output if restore is None else restore(output)
