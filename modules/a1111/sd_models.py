"""A1111's `modules.sd_models`: which models there are."""

from __future__ import annotations

from modules.a1111.house import HOUSE
from modules.a1111.shared import Model, model_facts


def checkpoint_tiles(use_short: bool = False) -> list[str]:
    """Titles of the models that can be used; their names with `use_short`."""
    rows = [one for one in HOUSE.services.catalog.models() if one.problem is None]
    return [one.name if use_short else one.title for one in rows]


def get_closet_checkpoint_match(search_string: str) -> object:
    """Facts of the model of that name, None where there is none."""
    return model_facts(search_string).sd_checkpoint_info if search_string in checkpoint_tiles(True) else None


__all__ = ["Model", "checkpoint_tiles", "get_closet_checkpoint_match"]
