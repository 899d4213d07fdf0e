"""What a request means that leaves its steps to the model: their number has to be known before it is queued."""

from __future__ import annotations

from modules.contracts.catalog import Catalog
from modules.contracts.request import SamplingParams


def usual_steps(catalog: Catalog, checkpoint: str | None) -> int:
    """Steps that the model of that name, or the default one, is best drawn with; else the declared number.

    Raises `UnknownModel` or `BrokenModel`.
    """
    declared, entry = SamplingParams().steps, catalog.find_model(checkpoint)
    if entry.family is None:
        return declared
    return int(catalog.family(entry.family).drawn_with(entry).defaults.get("steps", declared))
