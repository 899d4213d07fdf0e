"""The refiner of a request: in which passes it takes part, and at which step of one it takes over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from modules.contracts.catalog import Catalog
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import GenerationPlan, Leg, PassPlan
from modules.contracts.refiner import RefinerUse, find_refiner
from modules.processing_diffusers.sampling import NO_SECOND
from modules.sd_samplers.table import SamplerTable

LAST_TIME = 999
"""The time step of pure noise, from which A1111 counts how much of the way is done."""


def plan_refiner(plan: GenerationPlan, catalog: Catalog, table: SamplerTable) -> GenerationPlan:
    """The plan with the request's refiner in those passes that it takes part in.

    Raises as `find_refiner` does, and `UnsupportedFeature` for samplers that cannot leave a picture to another model.
    """
    wanted = plan.request.refiner
    use = find_refiner(wanted, catalog, plan.model, plan.family)
    if use is None:
        return plan
    first = plan.first
    if plan.hires is None or wanted.first:
        first = _refined(first, use, table)
    hires = plan.hires
    if hires is not None and wanted.second:
        hires = _refined(hires, use, table)
    notes = plan.notes
    if use.family.id != plan.family.id and any(one.uses or one.hires_uses for one in plan.pictures):
        notes += (f"The networks of the prompt are for {plan.family.label}; the refiner draws without them.",)
    return replace(plan, first=first, hires=hires, notes=notes)


def _refined(plan: PassPlan, use: RefinerUse, table: SamplerTable) -> PassPlan:
    for leg in plan.legs:
        if table.sampler(leg.sampler.sampler).solver in NO_SECOND:
            able = ", ".join(row.name for row in table.rows() if row.solver not in NO_SECOND)
            raise UnsupportedFeature(
                f"{leg.sampler.sampler} cannot leave a picture half done for a refiner; these can: {able}."
            )
    return replace(plan, refiner=use)


def divide_leg(leg: Leg, use: RefinerUse, run: int, times: Sequence[float]) -> tuple[Leg, ...]:
    """The part of the leg before the refiner takes over and the part from there on; one of them where all is one's.

    `run` is how many steps the pass has, and `times` are the time steps at which those of the leg begin. The share that
    is done is counted as A1111 does, by time steps (from 999 down to 0) or by steps.
    """

    def share(step: int) -> float:
        return (leg.begin + step) / run if use.by_steps else (LAST_TIME - round(times[step])) / (LAST_TIME + 1)

    steps = range(leg.end - leg.begin)
    reached = (step for step in steps if share(step) >= use.at or math.isclose(share(step), use.at))
    switch = leg.begin + next(reached, len(steps))
    parts = (replace(leg, end=switch), replace(leg, begin=switch, refined=True))
    return tuple(part for part in parts if part.begin < part.end)
