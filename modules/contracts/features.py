"""What a request says of how the denoiser's inner features are weighed, thinned out and scaled down."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modules.contracts.parameters import param

LARGEST_SHRINK = 8


ABILITY = USUAL = "deep_shrink"
"""A family's word for it, and the key of its defaults."""
WELL_ABOVE = 1.3
"""By how much the mean side of a picture has to be longer than the native one for models to draw things twice."""


def factor_for(width: int, height: int, native: int) -> float:
    """By how much the mean side of a picture is longer than the native one, to hundredths; 1 where it is not much."""
    factor = round(math.sqrt(width * height) / native, 2)
    return min(factor, LARGEST_SHRINK) if factor >= WELL_ABOVE else 1.0


@dataclass(frozen=True, slots=True)
class Shrink:
    """Deep shrink with nothing left open."""

    factor: float
    """By how much the deeper levels see less along each side, above 1."""
    level: int = 1
    """The block of the way down before which features are scaled down, from 0; the last one where there are fewer."""
    end: float = 0.35
    """Share of the schedule from which on nothing is scaled."""

    def steps(self, whole: int) -> int:
        """How many first steps of a schedule of that many are scaled."""
        return math.ceil(self.end * whole - 1e-9)


@dataclass(frozen=True, slots=True)
class FeatureParams:
    """FreeU, attention over less, and deep shrink. As declared only the model's own defaults change something."""

    freeu_b1: float = param(
        1.0,
        "FreeU b1",
        help="Factor on half of what comes from below in the innermost block of the way up; 1 changes nothing.",
        minimum=0,
        maximum=4,
        step=0.05,
        legacy="freeu_b1",
        infotext="FreeU b1",
    )
    freeu_b2: float = param(
        1.0,
        "FreeU b2",
        help="The same in the next block.",
        minimum=0,
        maximum=4,
        step=0.05,
        legacy="freeu_b2",
        infotext="FreeU b2",
    )
    freeu_s1: float = param(
        1.0,
        "FreeU s1",
        help="Factor on the coarse parts of what comes from the way down, in the innermost block; 1 changes nothing.",
        minimum=0,
        maximum=4,
        step=0.05,
        legacy="freeu_s1",
        infotext="FreeU s1",
    )
    freeu_s2: float = param(
        1.0,
        "FreeU s2",
        help="The same in the next block.",
        minimum=0,
        maximum=4,
        step=0.05,
        legacy="freeu_s2",
        infotext="FreeU s2",
    )
    freeu_start: float = param(
        0.0,
        "FreeU start",
        help="Share of the steps before which FreeU does nothing.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="freeu_start",
        infotext="FreeU start",
    )
    freeu_end: float = param(
        1.0,
        "FreeU end",
        help="Share of the steps after which FreeU does nothing.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="freeu_end",
        infotext="FreeU end",
    )

    token_merging: float = param(
        0.0,
        "Token merging ratio",
        help="Share of the tokens that attention merges into others that are alike: quicker, and less fine.",
        minimum=0,
        maximum=0.75,
        step=0.05,
        legacy="token_merging_ratio",
        infotext="Token merging ratio",
    )
    hypertile: int = param(
        0,
        "HyperTile size",
        help="Least side in pixels of the tiles within which attention looks: quicker for large pictures; 0: none.",
        minimum=0,
        maximum=4096,
        step=32,
        legacy="hypertile_size",
        infotext="HyperTile size",
    )
    hypertile_depth: int = param(
        0,
        "HyperTile depth",
        help="How many levels below the first are tiled as well.",
        minimum=0,
        maximum=3,
        step=1,
        legacy="hypertile_depth",
        infotext="HyperTile depth",
    )
    shrink: float | None = param(
        None,
        "Deep shrink",
        help="By how much the denoiser's deeper levels see less while the composition is drawn, so that large pictures "
        "show one thing and not several; 1 is without. Left open, the model's own defaults say.",
        minimum=1,
        maximum=LARGEST_SHRINK,
        step=0.1,
        legacy="deep_shrink",
        infotext="Deep shrink",
    )
    shrink_level: int | None = param(
        None,
        "Deep shrink level",
        help="The level of the UNet from which on less is seen: 0 is all of it, 1 what follows the first block, and so "
        "on.",
        minimum=0,
        maximum=3,
        step=1,
        legacy="deep_shrink_level",
        infotext="Deep shrink level",
    )
    shrink_end: float | None = param(
        None,
        "Deep shrink end",
        help="Share of the schedule from which on all is seen again.",
        minimum=0.05,
        maximum=1,
        step=0.05,
        legacy="deep_shrink_end",
        infotext="Deep shrink end",
    )

    @property
    def thinned(self) -> bool:
        """Attention does not look from every place at every other."""
        return self.token_merging > 0 or self.hypertile > 0

    @property
    def factors(self) -> tuple[float, float, float, float]:
        """b1, b2, s1 and s2."""
        return self.freeu_b1, self.freeu_b2, self.freeu_s1, self.freeu_s2

    @property
    def freeu(self) -> bool:
        """FreeU changes something."""
        return self.factors != (1.0, 1.0, 1.0, 1.0) and self.freeu_start < self.freeu_end


PLAIN_FEATURES = FeatureParams()
"""The denoiser as it is."""
