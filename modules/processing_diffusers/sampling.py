"""The sampler of a pass: names and numbers of the request brought together with the family's defaults."""

from __future__ import annotations

from dataclasses import replace

from modules.contracts.catalog import Family
from modules.contracts.cost import share_run
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import Leg, PassPlan, SamplerPlan
from modules.contracts.request import GenerationRequest, HandoverParams, HiresParams, SamplingParams
from modules.sd_samplers.table import SamplerTable

WHOLE = frozenset({"dpm_fast", "dpm_adaptive", "restart"})
"""Solvers whose way depends on where it begins and ends, so that none of it can be another's."""
NO_SECOND = WHOLE | {"plms"}
"""Solvers that cannot go on where another one leaves off."""


def plan_sampler(table: SamplerTable, sampling: SamplingParams, family: Family) -> SamplerPlan:
    """The sampler of the first pass. Raises `InvalidRequest` or `UnsupportedFeature` as `SamplerTable.resolve` does."""
    row, schedule = table.resolve(
        sampling.sampler,
        sampling.scheduler,
        flow=family.prediction == "flow",
        default_sampler=str(family.defaults["sampler"]),
        default_scheduler=str(family.defaults["scheduler"]),
    )
    return SamplerPlan(
        sampler=row.name,
        scheduler=schedule.label,
        steps=sampling.steps,
        eta=sampling.eta,
        s_churn=sampling.s_churn,
        s_tmin=sampling.s_tmin,
        s_tmax=sampling.s_tmax or float("inf"),
        s_noise=sampling.s_noise,
        second_order=bool(row.options.get("second_order", False)),
    )


def count_steps(steps: int, strength: float, *, every: bool) -> tuple[int, int]:
    """Steps of the schedule, and how many at its end are run.

    Ordinarily the schedule has the steps asked for and a share of them is run, rounded down, and one more, as in A1111;
    with `every` the schedule is made longer so that all of them are. A strength of 0 runs none, where A1111 runs one.
    """
    if strength <= 0:
        return steps, 0
    if every:
        return max(int(steps / min(strength, 0.999)), steps), steps
    return steps, share_run(steps, strength)


def plan_hires_sampler(
    table: SamplerTable, sampling: SamplingParams, hires: HiresParams, family: Family
) -> SamplerPlan:
    """The sampler of the hires pass: its own where one is named, else that of the first pass."""
    named = hires.sampler or sampling.sampler
    # A sampler of its own brings its own schedule, unless one is named as well.
    schedule = hires.scheduler or (None if hires.sampler else sampling.scheduler)
    return plan_sampler(table, replace(sampling, sampler=named, scheduler=schedule), family)


def divide_pass(
    table: SamplerTable, request: GenerationRequest, family: Family, plan: PassPlan, notes: list[str]
) -> PassPlan:
    """The pass with a second sampler in it, where the request names one.

    Both have the schedule of the whole pass; the first runs its share of the steps, one at least, and so does the
    second. Raises `UnsupportedFeature` for samplers that do everything or nothing, and as `SamplerTable.resolve` does.
    """
    wanted, run = request.handover, plan.steps
    if not wanted.changes:
        return plan
    second = _second_sampler(table, request, wanted, family)
    for name, refused in ((plan.sampler.sampler, WHOLE), (second.sampler, NO_SECOND)):
        if table.sampler(name).solver in refused:
            able = ", ".join(row.name for row in table.rows() if row.solver not in NO_SECOND)
            raise UnsupportedFeature(f"{name} cannot draw a part of a picture only; these can: {able}.")
    if run < 2:
        notes.append(f"The pass has {run} step(s), so no second sampler takes over.")
        return plan
    share = request.sampling.steps / request.steps if wanted.steps else wanted.at
    switch = min(max(round(run * share), 1), run - 1)
    # A1111 counts a step of some samplers twice; in a pass of two samplers every step counts once.
    first, second = (
        replace(sampler, steps=plan.sampler.steps, second_order=False) for sampler in (plan.sampler, second)
    )
    return replace(plan, sampler=first, changes=(Leg(first, 0, switch), Leg(second, switch, run)))


def _second_sampler(
    table: SamplerTable, request: GenerationRequest, wanted: HandoverParams, family: Family
) -> SamplerPlan:
    sampling = request.sampling
    named = wanted.sampler or sampling.sampler
    return plan_sampler(table, replace(sampling, sampler=named, scheduler=wanted.scheduler), family)
