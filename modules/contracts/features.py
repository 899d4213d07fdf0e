"""What a request says of how the denoiser's inner features are weighed and thinned out."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.parameters import param


@dataclass(frozen=True, slots=True)
class FeatureParams:
    """FreeU, and attention over less. As declared nothing is changed."""

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
