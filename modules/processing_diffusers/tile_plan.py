"""In which tiles a pass is drawn, and what SD upscale begins with. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from modules.contracts.catalog import Catalog, Family, ModelEntry, UpscalerEntry
from modules.contracts.errors import InvalidRequest
from modules.contracts.plan import PassPlan
from modules.contracts.request import GenerationRequest
from modules.contracts.tiles import MIXED, TilePlan
from modules.processing_diffusers.sizes import fit_size
from modules.upscalers.spandrel_model import check_upscaler
from modules.upscalers.table import find_upscaler

SHARE = 4
"""Neighbours share one part in so many of a tile's shorter side where nothing is said."""


def tile_pass(
    request: GenerationRequest, model: ModelEntry, family: Family, plan: PassPlan, *, hires: bool = False
) -> PassPlan:
    """The pass with its tiles; as it is where it is drawn whole, or is no larger than one tile.

    SD upscale draws in tiles whether or not a method is named. Raises `InvalidRequest` for an overlap that is all of a
    tile.
    """
    tiles = request.tiles
    if request.upscale.acts and not tiles.acts:
        tiles = replace(tiles, method=MIXED)
    if not tiles.covers(hires=hires):
        return plan
    wanted = (tiles.width or model.native_size, tiles.height or model.native_size)
    width, height = fit_size(wanted, family, [])
    width, height = min(width, plan.width), min(height, plan.height)
    if (width, height) == (plan.width, plan.height):
        return plan
    overlap = min(width, height) // SHARE if tiles.overlap is None else tiles.overlap
    if overlap >= min(width, height):
        raise InvalidRequest(
            f"Tile overlap is {overlap}; it has to be less than the {min(width, height)} pixels of a tile."
        )
    return replace(plan, tiles=TilePlan(tiles.method, width, height, overlap))


def find_sd_upscaler(request: GenerationRequest, catalog: Catalog) -> UpscalerEntry | None:
    """What makes the given picture larger; None without SD upscale. Raises `InvalidRequest` or `BrokenModel`."""
    if not request.upscale.acts:
        return None
    entry = find_upscaler(str(request.upscale.upscaler), catalog.upscalers())
    if entry.latent:
        usable = ", ".join(one.name for one in catalog.upscalers() if not one.latent and one.problem is None)
        raise InvalidRequest(f"SD upscale needs an upscaler of pictures, and {entry.name} is of latents: {usable}.")
    check_upscaler(entry)
    return entry
