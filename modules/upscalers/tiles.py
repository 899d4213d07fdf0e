"""Enlarging in tiles that overlap, so that memory depends on the tile and on the result, not on what lies between.

Tiles are all of one size; the last of a row ends at the picture's edge. In an overlap the outer quarter of each tile,
where a network misses its surroundings, counts for nothing, and over the middle half one tile fades into the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Enlarge = Callable[[Any], Any]
"""(1, 3, h, w) in [0, 1] to (1, 3, h · scale, w · scale), fp32 on the CPU."""


def enlarge_in_tiles(
    enlarge: Enlarge, picture: Any, scale: int, tile: int, overlap: int, check: Callable[[], None] = lambda: None
) -> Any:
    """`picture` (3, h, w) enlarged to (3, h · scale, w · scale).

    `tile` and `overlap` are in pixels of the picture; a tile of 0, or one that holds it, makes one piece of it. `check`
    is called before each tile and may raise to stop. Raises `ValueError` where an overlap leaves no way forward.
    """
    import torch

    height, width = (int(side) for side in picture.shape[-2:])
    if tile <= 0 or tile >= max(height, width):
        check()
        return enlarge(picture[None])[0]
    if overlap < 0 or 2 * overlap > tile:
        raise ValueError(f"The overlap {overlap} has to be between 0 and half of the tile {tile}.")
    rows, columns = places(height, tile, overlap), places(width, tile, overlap)
    down = [profile(top, min(tile, height), height, overlap, scale) for top in rows]
    across = [profile(left, min(tile, width), width, overlap, scale) for left in columns]
    made = torch.zeros(picture.shape[0], height * scale, width * scale)
    for top, fade_down in zip(rows, down, strict=True):
        for left, fade_across in zip(columns, across, strict=True):
            check()
            piece = enlarge(picture[None, :, top : top + tile, left : left + tile])[0]
            high, wide = piece.shape[-2:]
            place = made[:, top * scale : top * scale + high, left * scale : left * scale + wide]
            place += piece * fade_down[:, None] * fade_across
    made /= _sum(down, rows, height, scale)[:, None]
    made /= _sum(across, columns, width, scale)
    return made


def count_tiles(size: tuple[int, int], tile: int, overlap: int) -> int:
    """How many pieces `enlarge_in_tiles` makes of a picture of that width and height."""
    if tile <= 0 or tile >= max(size):
        return 1
    return len(places(size[0], tile, overlap)) * len(places(size[1], tile, overlap))


def places(side: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side, in pixels: neighbours share `overlap` or more, the last ends at the edge."""
    if side <= tile:
        return [0]
    return [*range(0, side - tile, tile - overlap), side - tile]


def profile(start: int, length: int, side: int, overlap: int, scale: int) -> Any:
    """Weights along one side of a tile, fp32 of `length` · `scale`: 1 in the middle and at the picture's own edges."""
    import torch

    fade = ((torch.arange(overlap * scale) + 0.5) / scale - overlap / 4) / max(overlap / 2, 1e-6)
    fade = fade.clamp(0, 1)
    weights = torch.ones(length * scale)
    if start > 0 and overlap:
        weights[: overlap * scale] = fade
    if start + length < side and overlap:
        weights[-overlap * scale :] *= fade.flip(0)
    return weights


def _sum(weights: list[Any], starts: list[int], side: int, scale: int) -> Any:
    """What the weights of all tiles come to along one side; positive everywhere."""
    import torch

    total = torch.zeros(side * scale)
    for start, part in zip(starts, weights, strict=True):
        total[start * scale : start * scale + len(part)] += part
    return total
