"""From a sampler plan and a model's scheduler config to a diffusers scheduler."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import SamplerPlan
from modules.sd_samplers.table import AUTOMATIC, SamplerRow, SamplerTable, load_table
from modules.support.paths import ROOT

if TYPE_CHECKING:
    from modules.sd_samplers.scheduler import StudioEulerScheduler, StudioFlowScheduler

COSINE_STEPS = 1000
"""Training steps by which a model is known that was trained on no steps but on all times between 0 and 1."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")


@lru_cache(maxsize=4)
def table_at(path: Path) -> SamplerTable:
    """`load_table`, read once."""
    return load_table(path)


def shipped_table() -> SamplerTable:
    """The table that comes with the program."""
    return table_at(ROOT / "configs" / "samplers.json")


def build_scheduler(
    plan: SamplerPlan, config: Mapping[str, Any], *, flow: bool, sdxl: bool = False, table: SamplerTable | None = None
) -> StudioEulerScheduler | StudioFlowScheduler:
    """A fresh scheduler that walks the plan's schedule with the plan's sampler, for one lane.

    `config` is the model's scheduler config (of any diffusers class): beta schedule, prediction type, zero terminal
    SNR and shift are taken from it, timestep spacing is not, since the schedule says it. `flow` tells a flow-matching
    model, `sdxl` picks the Align Your Steps anchors of SDXL. Raises `InvalidRequest` for unknown names and
    `UnsupportedFeature` when sampler, schedule or the config's prediction type do not go with the model.
    """
    from modules.sd_samplers.scheduler import Course, StudioEulerScheduler, StudioFlowScheduler
    from modules.sd_samplers.schedules import AYS_SD, AYS_SDXL
    from modules.sd_samplers.solvers import SOLVERS

    table = table or shipped_table()
    row, schedule = table.resolve(
        plan.sampler, plan.scheduler, flow=flow, default_sampler=plan.sampler, default_scheduler=AUTOMATIC
    )
    course = Course(
        SOLVERS[row.solver],
        schedule.name,
        _amounts(row, plan),
        discard_penultimate=row.discard_penultimate,
        rho=schedule.default_rho if schedule.default_rho > 0 else None,
        anchors=AYS_SDXL if sdxl else AYS_SD,
    )
    kind = StudioFlowScheduler if flow else StudioEulerScheduler
    if not flow:
        _check_prediction(config)
        config = _with_betas(config)
    if flow and "flow_shift" in config:  # what schedulers for other models call the shift
        config = {"shift": config["flow_shift"], **config}
    scheduler = kind(**_known(kind, config))
    scheduler.set_course(course)
    return scheduler


def _amounts(row: SamplerRow, plan: SamplerPlan) -> Any:
    """The plan's numbers as far as the sampler takes them; s_tmax 0 means no limit, as A1111's clients send it."""
    from modules.sd_samplers.walk import Stochasticity

    takes = row.takes
    return Stochasticity(
        eta=plan.eta if "eta" in takes and plan.eta is not None else row.default_eta,
        s_churn=plan.s_churn if "s_churn" in takes else 0.0,
        s_tmin=plan.s_tmin,
        s_tmax=plan.s_tmax or float("inf"),
        s_noise=plan.s_noise if "s_noise" in takes else 1.0,
    )


def _with_betas(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with a table of betas, where it says by other words how noise grows: Würstchen's cosine.

    Entry i is the noise at (i + 1) / `COSINE_STEPS` of the way. Pernias et al., Würstchen (arXiv:2306.00637); the share
    of signal is kept from 0.0001 to 0.9999 as its authors do.
    """
    if not {"s", "scaler"} <= set(config):
        return config
    s, scaler = float(config["s"]), float(config["scaler"])
    times = [(place + 1) / COSINE_STEPS for place in range(COSINE_STEPS)]
    if scaler > 1:
        times = [1 - (1 - time) ** scaler for time in times]
    elif scaler < 1:
        times = [time**scaler for time in times]
    whole = math.cos(s / (1 + s) * math.pi / 2) ** 2
    signal = [min(max(math.cos((time + s) / (1 + s) * math.pi / 2) ** 2 / whole, 0.0001), 0.9999) for time in times]
    betas = [1 - now / before for before, now in itertools.pairwise([1.0, *signal])]
    return {"num_train_timesteps": COSINE_STEPS, "trained_betas": betas}


def _check_prediction(config: Mapping[str, Any]) -> None:
    if str(config.get("_class_name", "")).startswith("EDM"):
        raise UnsupportedFeature("The model's scheduler is an EDM one, whose input scaling no sampler here provides.")
    kind = config.get("prediction_type", "epsilon")
    if kind not in PREDICTIONS:
        raise UnsupportedFeature(f"The model predicts {kind!r}; samplers here know {', '.join(PREDICTIONS)}.")


def _known(kind: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `config` that the class understands, without those that would choose sigmas beside our schedule.

    Filtering here keeps diffusers from importing every compatible scheduler, as its own `from_config` does.
    """
    ours = {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "final_sigmas_type", "interpolation_type"}
    names = set(inspect.signature(kind.__init__).parameters) - ours - {"self"}  # type: ignore[misc]
    return {name: value for name, value in config.items() if name in names}
