"""The sampler of a pass: names and numbers of the request brought together with the family's defaults."""

from __future__ import annotations

from dataclasses import replace

from modules.contracts.catalog import Family
from modules.contracts.plan import SamplerPlan
from modules.contracts.request import HiresParams, SamplingParams
from modules.sd_samplers.table import SamplerTable


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


def plan_hires_sampler(
    table: SamplerTable, sampling: SamplingParams, hires: HiresParams, family: Family
) -> SamplerPlan:
    """The sampler of the hires pass: its own where one is named, else that of the first pass."""
    named = hires.sampler or sampling.sampler
    # A sampler of its own brings its own schedule, unless one is named as well.
    schedule = hires.scheduler or (None if hires.sampler else sampling.scheduler)
    return plan_sampler(table, replace(sampling, sampler=named, scheduler=schedule), family)
