"""The refiner of a job: a second model beside its own, leased with it, and what of the job goes on with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import GenerationPlan, MemoryPlan
from modules.control.loading import check_fit
from modules.control.redux import check_words
from modules.memory.planner import join_plans
from modules.processing_diffusers.control_part import JobControls
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.networks_part import JobNetworks, NetworkShelf
from modules.processing_diffusers.storehouse import Storehouse
from modules.processing_diffusers.workbench import set_up_pipeline


@dataclass(frozen=True, eq=False, slots=True)
class RefinerPart:
    """The refiner as one lane uses it."""

    model: DrawingModel
    networks: JobNetworks
    """Those of the job that fit it."""
    pipeline: Any
    """The lane's shallow pipeline over it."""
    steered: bool
    """The job's ControlNets fit it, too."""
    identify: Callable[[], ModelEntry]
    """Its entry with the hash, as `Job.identify` gives that of the job's model."""

    def in_lane(self, port: Port, plan: GenerationPlan) -> RefinerPart:
        """The same for another lane."""
        refined = plan.refined
        return self if refined is None else replace(self, pipeline=set_up_pipeline(self.model, port, refined))


@contextlib.contextmanager
def lease_refiner(
    plan: GenerationPlan, storehouse: Storehouse, loading: Callable[[float, str], None]
) -> Iterator[DrawingModel | None]:
    """The plan's refiner until the block ends; None without one.

    It is leased beside the job's own model for as long as the job runs, so that no batch loads either anew. Two jobs
    that lease the same two models the other way round do not wait for each other: the pool never waits for a lease.
    """
    use = plan.refiner
    if use is None:
        yield None
        return
    with storehouse.lease(use.model, use.family, loading) as model:
        yield model


@contextlib.contextmanager
def prepare_refiner(
    plan: GenerationPlan,
    model: DrawingModel | None,
    shelf: NetworkShelf,
    controls: JobControls,
    port: Port,
    identify: Callable[[ModelEntry], ModelEntry],
) -> Iterator[RefinerPart | None]:
    """The leased refiner with networks and a pipeline for this lane, until the block ends; None without one."""
    refined = plan.refined
    if model is None or refined is None:
        yield None
        return
    with shelf.lease(refined, model.fittings) as networks:
        steered = _fits(controls, model)
        yield RefinerPart(
            model, networks, set_up_pipeline(model, port, refined), steered, lambda: identify(refined.model)
        )


def _fits(controls: JobControls, model: DrawingModel) -> bool:
    """Whether all ControlNets of the job may stand beside that model too."""
    denoiser = model.loaded.components[model.family.denoiser]
    try:
        for part in controls.parts.values():
            check_fit(part.loaded, denoiser, model.loaded.entry.name)
        for words in controls.words.values():
            check_words(words.module, denoiser, "", model.loaded.entry.name)
    except UnsupportedFeature:
        return False
    return "control" in model.family.capabilities


def plan_both(
    plan: GenerationPlan,
    model: DrawingModel,
    refiner: DrawingModel | None,
    plan_one: Callable[[GenerationPlan, DrawingModel], MemoryPlan],
    device: str,
) -> MemoryPlan:
    """Measures for the job's model and its refiner, both of which stay where they are while the other one computes.

    `plan_one` plans for one of them with what is free beside the other; the peak counts the other's weights on
    `device`.
    """
    own, refined = plan_one(plan, model), plan.refined
    if refiner is None or refined is None:
        return own
    beside = (refiner.bytes_on(device), model.bytes_on(device))
    plans = (own, plan_one(refined, refiner))
    raised = [
        replace(one, predicted_peak=None if one.predicted_peak is None else one.predicted_peak + more)
        for one, more in zip(plans, beside, strict=True)
    ]
    return join_plans(*raised)


def name_apart(components: Mapping[str, Any]) -> dict[str, Any]:
    """A refiner's components by names that stand beside the other model's, so that measures are taken on both at once:
    jobs that took them one after the other could wait for each other for ever."""
    return {f"{name}@refiner": part for name, part in components.items()}
