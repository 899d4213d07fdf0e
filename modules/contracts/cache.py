"""What a request says of caches over steps: parts of the denoiser's work that are taken over from earlier steps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from modules.contracts.parameters import param

NO_CACHE, AUTOMATIC, DEEP, FIRST_BLOCK, FORECAST = "none", "automatic", "DeepCache", "First block", "TaylorSeer"
CACHE_METHODS = (NO_CACHE, AUTOMATIC, DEEP, FIRST_BLOCK, FORECAST)
ABILITIES = {DEEP: "deep_cache", FIRST_BLOCK: "first_block_cache", FORECAST: "taylor_seer"}
"""What a family has to be able to for each, in the order in which the automatic one looks."""


@dataclass(frozen=True, slots=True)
class CacheParams:
    """Quicker steps at the price of another picture. As declared every step is computed in full."""

    method: str = param(
        NO_CACHE,
        "Step cache",
        help="DeepCache for UNets; First block and TaylorSeer for transformers; automatic is the one for the model.",
        choices=CACHE_METHODS,
        legacy="step_cache",
        infotext="Step cache",
    )
    interval: int = param(
        3,
        "Step cache interval",
        help="DeepCache and TaylorSeer: one of so many calls of the model is computed in full; 1 is every one.",
        minimum=1,
        maximum=20,
        step=1,
        legacy="step_cache_interval",
        infotext="Step cache interval",
    )
    depth: int = param(
        1,
        "Step cache depth",
        help="DeepCache: layers at the UNet's end that every call computes; more are slower and nearer to the whole.",
        minimum=1,
        maximum=3,
        step=1,
        legacy="step_cache_depth",
        infotext="Step cache depth",
    )
    threshold: float = param(
        0.1,
        "Step cache threshold",
        help="First block: by what share its answer may have changed since the last call that was computed in full; "
        "0 computes every one.",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="step_cache_threshold",
        infotext="Step cache threshold",
    )
    order: int = param(
        1,
        "Step cache order",
        help="TaylorSeer: of the series that goes on from the last answers; 0 repeats the last one.",
        minimum=0,
        maximum=3,
        step=1,
        legacy="step_cache_order",
        infotext="Step cache order",
    )
    start: float = param(
        0.1,
        "Step cache start",
        help="Share of the steps before which every call is computed in full.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="step_cache_start",
        infotext="Step cache start",
    )
    end: float = param(
        1.0,
        "Step cache end",
        help="Share of the steps from which on every call is computed in full.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="step_cache_end",
        infotext="Step cache end",
    )

    def chosen(self, abilities: Collection[str]) -> str:
        """The method for a model with these abilities; none where nothing would be taken over."""
        able = [method for method, word in ABILITIES.items() if word in abilities]
        method = next(iter(able), NO_CACHE) if self.method == AUTOMATIC else self.method
        idle = self.threshold <= 0 if method == FIRST_BLOCK else self.interval <= 1
        return NO_CACHE if method not in able or idle or self.start >= self.end else method


EVERY_STEP = CacheParams()
"""No cache."""
