"""What a request says of pictures larger than the model draws: tiles that the denoiser sees, and SD upscale."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import param

WHOLE, EVEN, MIXED = "None", "MultiDiffusion", "Mixture of Diffusers"
TILE_METHODS = (WHOLE, EVEN, MIXED)
BOTH, FIRST, SECOND = "both passes", "first pass", "second pass"
TILED_PASSES = (BOTH, FIRST, SECOND)
NO_UPSCALER = ("", "none")
"""What stands for no SD upscale, in small letters."""


@dataclass(frozen=True, slots=True)
class TileParams:
    """How a canvas is drawn that is larger than a tile. As declared the denoiser sees it whole."""

    method: str = param(
        WHOLE,
        "Tiled diffusion",
        help="The denoiser sees the canvas tile by tile at each step; what it says is averaged evenly, or most where a "
        "tile has its middle.",
        choices=TILE_METHODS,
        legacy="tiled_diffusion",
        infotext="Tile method",
    )
    width: int | None = param(
        None,
        "Tile width",
        help="In pixels; None is the model's native one.",
        minimum=32,
        maximum=4096,
        step=8,
        legacy="tile_width",
        infotext="Tile width",
    )
    height: int | None = param(
        None,
        "Tile height",
        help="In pixels; None is the model's native one.",
        minimum=32,
        maximum=4096,
        step=8,
        legacy="tile_height",
        infotext="Tile height",
    )
    overlap: int | None = param(
        None,
        "Tile overlap, pixels",
        help="What neighbours share at least; None is a quarter of the shorter side.",
        minimum=0,
        maximum=2048,
        step=8,
        legacy="tile_overlap",
        infotext="Tile overlap",
    )
    passes: str = param(
        BOTH,
        "Tiled passes",
        help="Which passes of a picture with a second pass are drawn in tiles.",
        choices=TILED_PASSES,
        legacy="tile_passes",
        infotext="Tiled passes",
    )
    vae: bool = param(
        False,
        "VAE in tiles",
        help="Pictures are encoded and decoded in overlapping tiles, also where memory would do without.",
        legacy="tiled_vae",
        infotext="Tiled VAE",
    )

    @property
    def acts(self) -> bool:
        """Large canvases are drawn in tiles."""
        return self.method != WHOLE

    def covers(self, *, hires: bool) -> bool:
        """Whether the second pass, or else the first one, is drawn in tiles."""
        return self.acts and self.passes != (FIRST if hires else SECOND)


@dataclass(frozen=True, slots=True)
class SdUpscaleParams:
    """A given picture made larger by an upscaler and then drawn in tiles. As declared it is not."""

    upscaler: str | None = param(
        None,
        "SD upscale",
        help="What makes the picture larger before it is drawn.",
        choices="upscalers",
        legacy="sd_upscale",
        infotext="SD upscale upscaler",
    )
    scale: float = param(
        2.0,
        "SD upscale by",
        minimum=1,
        maximum=8,
        step=0.05,
        legacy="sd_upscale_scale",
        infotext="SD upscale scale",
    )

    @property
    def acts(self) -> bool:
        """There is an upscaler."""
        return self.upscaler is not None and self.upscaler.strip().casefold() not in NO_UPSCALER

    def size_of(self, given: tuple[int, int]) -> tuple[int, int]:
        """Width and height that a picture of that size is brought to."""
        return round(given[0] * self.scale), round(given[1] * self.scale)


WHOLE_CANVAS, NO_SD_UPSCALE = TileParams(), SdUpscaleParams()
"""Canvases as they are."""


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Tiles of one pass, in pixels that the family can draw."""

    method: str
    width: int
    height: int
    overlap: int


def check_tiles(tiles: TileParams) -> None:
    """Raise `InvalidRequest` for tiles that share all that they have."""
    sides = [side for side in (tiles.width, tiles.height) if side is not None]
    if tiles.overlap is not None and sides and tiles.overlap >= min(sides):
        raise InvalidRequest(f"Tile overlap is {tiles.overlap}; it has to be less than the tile's {min(sides)} pixels.")


def check_sd_upscale(wanted: SdUpscaleParams, *, picture: bool, mask: bool) -> None:
    """Raise `InvalidRequest` where there is no picture to make larger, or a part of one is to be drawn."""
    if not wanted.acts:
        return
    if not picture:
        raise InvalidRequest("SD upscale makes a given picture larger; give one, or leave it out.")
    if mask:
        raise InvalidRequest("SD upscale draws the whole picture; leave the mask out.")
