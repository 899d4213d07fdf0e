"""What of a request goes on inside the denoiser: the branches of guidance, FreeU, deep shrink, caches over steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from modules.contracts import cache
from modules.contracts.features import ABILITY
from modules.contracts.plan import PassPlan
from modules.contracts.request import GenerationRequest
from modules.processing_diffusers.branches import Branch
from modules.processing_diffusers.inside.block_cache import FirstBlock, TaylorSeer
from modules.processing_diffusers.inside.deep_cache import DeepCache
from modules.processing_diffusers.inside.deep_shrink import DeepShrink
from modules.processing_diffusers.inside.rows import NO_CHANGE, RowChange, RowChanges, find_attentions, find_blocks
from modules.processing_diffusers.inside.step_cache import Method, StepCache
from modules.processing_diffusers.inside.thinning import thinning_of
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.multiplexer.call import Patch
from modules.processing_diffusers.networks_part import Clock

PERTURBED, SMOOTHED, SKIPPED = 1, 2, 3
"""Kinds of samples besides the ordinary ones."""


def branches_of(job: Job, *, plus: bool) -> tuple[Branch, ...]:
    """The branches that the request asks for and the model can have. Raises `InvalidRequest` for unknown layers.

    `plus` tells of a CFG++ sampler, which mixes in its own way.
    """
    wanted = job.plan.request.attention
    if plus and wanted.rows() > 0:
        job.strand.note("CFG++ samplers guide in their own way; PAG, SEG and SLG were left out.")
        return ()
    return tuple(_branches(job))


def _branches(job: Job) -> Iterator[Branch]:
    wanted, can = job.plan.request.attention, job.model.family.capabilities
    shelf = job.model.fittings.shelves[job.model.fittings.denoiser]
    if "perturbed_attention" in can:
        if wanted.pag_scale > 0:
            alone = RowChange(alone=find_attentions(shelf, wanted.pag_layers, "PAG layers"))
            yield Branch(PERTURBED, alone, wanted.pag_scale, falling=wanted.pag_adaptive)
        if wanted.seg_scale > 0:
            paths = find_attentions(shelf, wanted.seg_layers, "SEG layers")
            yield Branch(SMOOTHED, RowChange(blurred=paths, blur=wanted.seg_blur), wanted.seg_scale)
    if "skip_layers" in can and wanted.slg_scale > 0:
        left_out = RowChange(left_out=find_blocks(shelf, wanted.slg_layers, "SLG layers"))
        yield Branch(SKIPPED, left_out, wanted.slg_scale, (wanted.slg_start, wanted.slg_end))


def change_rows(job: Job, branches: tuple[Branch, ...], clock: Clock) -> RowChanges:
    """The patch for every call of a pass; `clock` tells how far it has come."""
    request, can = job.plan.request, job.model.family.capabilities
    by_kind = {branch.kind: branch.change for branch in branches}

    def change_of(kind: int) -> RowChange:
        change = by_kind.get(kind, NO_CHANGE)
        return replace(change, freeu=request.features.factors) if "freeu" in can and _freed(request, clock) else change

    return RowChanges(job.model.fittings.shelves[job.model.fittings.denoiser], change_of)


def thin_out(job: Job) -> tuple[Patch, ...]:
    """Patches for every call of a pass that let attention see less."""
    return thinning_of(job.plan.request.features) if "fewer_tokens" in job.model.family.capabilities else ()


def shrunk_steps(job: Job, pass_plan: PassPlan) -> int:
    """How many first steps of a pass have their deeper levels scaled down: those that the whole schedule has before the
    share that the wish names, less those that a pass which begins later leaves out."""
    wish = job.plan.shrink if pass_plan is job.plan.first else None
    if wish is None:
        return 0
    whole = pass_plan.sampler.steps
    return max(wish.steps(whole) - (whole - pass_plan.steps), 0)


def shrink_deep(job: Job, pass_plan: PassPlan, clock: Clock) -> tuple[Patch, ...]:
    """The patch for every call of a pass that scales its deeper levels down; none where all is seen."""
    wish, wished, until = job.plan.shrink, job.plan.wished_shrink, shrunk_steps(job, pass_plan)
    asked = (job.plan.request.features.shrink or 1) > 1 and ABILITY in job.model.family.capabilities
    if wished is None and asked and pass_plan is job.plan.first and pass_plan.tiles is None:
        job.strand.note("Deep shrink ends before this pass begins, so it was left out.")
    if wished is not None and pass_plan is job.plan.first and job.plan.crossed:
        job.strand.note("A ControlNet-XS stands in every level of the denoiser, so deep shrink was left out.")
    return () if wish is None or until == 0 else (DeepShrink(wish, lambda: int(clock.done + 1e-9) < until),)


def cache_steps(job: Job, pass_plan: PassPlan, clock: Clock) -> tuple[StepCache, ...]:
    """The patch for every call of a pass that takes over from the steps before it; none where every step is whole."""
    wish = job.plan.request.cache
    method: Method
    chosen = wish.chosen(job.model.family.capabilities)
    if chosen == cache.DEEP and job.controls.crossings:
        job.strand.note("A ControlNet-XS computes in every layer of a step, so no layers were taken over from others.")
        return ()
    match chosen:
        case cache.DEEP:
            method = DeepCache(wish.interval, wish.depth)
        case cache.FIRST_BLOCK:
            method = FirstBlock(wish.threshold)
        case cache.FORECAST:
            method = TaylorSeer(wish.interval, wish.order)
        case _:
            return ()
    # Where a unit begins or ends to act, what went before says nothing of what comes.
    spans = ((use.unit.guidance_start, use.unit.guidance_end) for use in job.plan.controls if use.unit.acts)
    bounds = {bound for span in spans for bound in span}
    if until := shrunk_steps(job, pass_plan):
        bounds.add(until / max(clock.steps, 1))  # features of another size follow
    breaks = tuple(sorted(bounds))
    return (StepCache(job.model.fittings.shelves[job.model.fittings.denoiser], wish, method, clock, breaks),)


def _freed(request: GenerationRequest, clock: Clock) -> bool:
    features, share = request.features, int(clock.done + 1e-9) / max(clock.steps, 1)
    return features.freeu and features.freeu_start <= share < features.freeu_end
