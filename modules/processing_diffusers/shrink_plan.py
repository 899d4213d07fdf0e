"""Whether and how the denoiser's deeper levels are scaled down in a pass. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import replace

from modules.contracts.catalog import Family, ModelEntry
from modules.contracts.features import LARGEST_SHRINK, Shrink
from modules.contracts.plan import PassPlan
from modules.contracts.request import GenerationRequest

ABILITY = DEFAULT = "deep_shrink"
"""A family's word for it, and the key of its defaults."""
WELL_ABOVE = 1.3
"""By how much the mean side of a picture has to be longer than the native one for models to draw things twice."""


def factor_for(width: int, height: int, native: int) -> float:
    """By how much the mean side of a picture is longer than the native one, to hundredths."""
    return min(round(math.sqrt(width * height) / native, 2), LARGEST_SHRINK)


def shrink_pass(
    request: GenerationRequest, model: ModelEntry, family: Family, plan: PassPlan, notes: list[str]
) -> PassPlan:
    """The first pass with its deep shrink; as it is where there is none.

    Where the request leaves it open, pictures drawn from words well above the model's native size have it, if the
    family's defaults or the model's own say so: by as much as the picture's mean side is longer. Level and end that are
    left open are those of the defaults.
    """
    wish, usual = request.features, family.defaults.get(DEFAULT)
    if ABILITY not in family.capabilities:
        return plan
    factor = wish.shrink
    if factor is None:
        if usual is None or request.mode != "txt2img" or plan.tiles is not None:
            return plan
        factor = factor_for(plan.width, plan.height, model.native_size)
        factor = factor if factor >= WELL_ABOVE else 1.0
    if factor <= 1:
        return plan
    if plan.tiles is not None:
        notes.append("Each tile is seen by itself, so deep shrink was left out.")
        return plan
    shrink = replace(Shrink(factor), **(usual or {}))
    if wish.shrink_level is not None:
        shrink = replace(shrink, level=wish.shrink_level)
    if wish.shrink_end is not None:
        shrink = replace(shrink, end=wish.shrink_end)
    return replace(plan, shrink=shrink)
