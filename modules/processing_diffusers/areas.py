"""Where in a picture the answers to its prompts count."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from modules.contracts.errors import UnsupportedFeature
from modules.prompts.areas import Area


def shares_of(areas: Sequence[Area | None], behind: float, answer: torch.Tensor) -> list[torch.Tensor]:
    """How much each prompt counts at each cell of an answer (C, height, width): tensors (1, height, width).

    They come to 1 at every cell. A prompt without an area has `behind` where there are areas, and all that no area
    covers. A cell that an area covers in part counts in part. Raises `UnsupportedFeature` for an answer that has no
    height and width.
    """
    if answer.dim() != 3:
        raise UnsupportedFeature("Prompt areas need a model that denoises pictures by cells; this one does not.")
    height, width = answer.shape[-2:]
    covered = [torch.zeros(height, width) if area is None else _cover(area, height, width) for area in areas]
    whole = torch.stack(covered).sum(0)
    left = (1 - whole).clamp(min=0)
    inside = whole + left
    count = sum(area is None for area in areas)
    behind = behind if count else 0.0
    shares = []
    for area, cover in zip(areas, covered, strict=True):
        # What no area and no prompt for the whole covers goes to all areas alike.
        spare = left / count if area is None else (left / len(areas) if not count else torch.zeros_like(left))
        own = (whole * behind / count) if area is None else cover * (1 - behind)
        shares.append(((own + spare) / inside)[None].to(answer))
    return shares


def _cover(area: Area, height: int, width: int) -> torch.Tensor:
    """How much of each cell the area covers, (height, width)."""
    return _along(area.top, area.bottom, height)[:, None] * _along(area.left, area.right, width)[None]


def _along(begin: float, end: float, cells: int) -> torch.Tensor:
    edges = torch.arange(cells, dtype=torch.float32)
    return (torch.clamp(edges + 1, max=end * cells) - torch.clamp(edges, min=begin * cells)).clamp(min=0)
