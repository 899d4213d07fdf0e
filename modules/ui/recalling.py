"""Names in the settings of a picture that this studio has no such thing for: pictures come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from modules.contracts.catalog import Catalog
from modules.contracts.request import MAX_SEED, parameters
from modules.ui.facts import ModelFacts, choices_of
from modules.ui.form import NAMES, defaults

SAMPLER, SCHEDULE = "sampling.sampler", "sampling.scheduler"
KINDS = ("samplers", "schedulers", "upscalers", "restorers", "vaes", "text_encoders")


def settle(values: Sequence[Any], catalog: Catalog, facts: ModelFacts) -> tuple[list[Any], list[str]]:
    """The form's values with every name as the studio has it, and a sentence for each that it has not.

    In place of those stands what the model likes best. A1111's older names of samplers, `DPM++ 2M Karras`, become
    sampler and schedule.
    """
    told: list[str] = []
    found, usual = dict(zip(NAMES, values, strict=True)), defaults(facts)
    _part(found, catalog)
    if isinstance(found["seeds.seed"], int) and found["seeds.seed"] > MAX_SEED:  # other programs count to 2**64
        told.append(f"Seed: {found['seeds.seed']} is beyond {MAX_SEED}, the largest here, so it is left open.")
        found["seeds.seed"] = usual["seeds.seed"]
    for item in parameters():
        value, kind = found.get(item.name), item.param.choices
        if _is_beyond(value, item.param.minimum, item.param.maximum):
            told.append(f"{item.param.label}: {value:.6g} is not possible here, so it is left open.")
            found[item.name] = usual[item.name]
        if kind not in KINDS or not isinstance(value, str) or not value:
            continue
        pairs = choices_of(catalog, str(kind))
        known = {str(word).casefold(): allowed for shown, allowed in pairs for word in (shown, allowed)}
        if value.casefold() in known:
            found[item.name] = known[value.casefold()]
        else:
            told.append(f"{item.param.label}: there is no {value[:60]!r} here, so it is left open.")
            found[item.name] = usual[item.name]
    return [found[name] for name in NAMES], told


def _is_beyond(value: Any, least: float | None, most: float | None) -> bool:
    """Whether that is a number that no request may have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not math.isfinite(value) or (least is not None and value < least) or (most is not None and value > most)


def _part(found: dict[str, Any], catalog: Catalog) -> None:
    """Take a sampler's alias for its name, and one that names its schedule too for both."""
    value = found.get(SAMPLER)
    if not isinstance(value, str) or not value:
        return
    names = {word.casefold(): entry.name for entry in catalog.samplers() for word in (entry.name, *entry.aliases)}
    folded = value.casefold()
    if folded in names:
        found[SAMPLER] = names[folded]
        return
    for entry in catalog.schedulers():
        ending = f" {entry.label.casefold()}"
        if folded.endswith(ending) and folded.removesuffix(ending) in names:
            found[SAMPLER], found[SCHEDULE] = names[folded.removesuffix(ending)], entry.label
            return
