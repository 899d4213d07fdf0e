"""The pipeline's own denoising loop, begun and ended in latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from modules.contracts.guidance import PLAIN_GUIDANCE
from modules.contracts.plan import Leg, PassPlan
from modules.processing_diffusers.branches import Branches
from modules.processing_diffusers.conductor import Conductor
from modules.processing_diffusers.editing import Editing, Showing
from modules.processing_diffusers.guidance import Sparing, make_plus
from modules.processing_diffusers.guidance_course import GuidanceCourse, GuidedPass, fitting
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.lane_pipeline import rescales_itself
from modules.processing_diffusers.multiplexer.stand_in import Wider
from modules.processing_diffusers.networks_part import Clock
from modules.processing_diffusers.plan import edit_scale
from modules.processing_diffusers.refining import divide_leg
from modules.processing_diffusers.scripting import PassScripts
from modules.processing_diffusers.stages.encode import Conditioning
from modules.processing_diffusers.stages.inside import branches_of, cache_steps, change_rows, shrink_deep, thin_out
from modules.processing_diffusers.stages.prepare import Beginning
from modules.processing_diffusers.stages.tile import cells_seen, tiles_of
from modules.processing_diffusers.stages.tone import eta_of, prepare_toning, wants_toning
from modules.processing_diffusers.tail import ScheduleTail, names_of_arguments
from modules.sd_samplers.build import build_scheduler
from modules.sd_vae.codec import FILM


def denoise(job: Job, pass_plan: PassPlan, conditioning: Conditioning, beginning: Beginning) -> torch.Tensor:
    """Latents of shape (pictures, C, H, W) in fp32 after all steps of the pass.

    Pictures are drawn together, or one after the other where the sampler needs that. Cancellation and skipping take
    effect within one model call.
    """
    if pass_plan.steps == 0 and beginning.latents is not None:
        return beginning.latents
    job.strand.begin_steps()
    if wants_toning(job, pass_plan):
        all_steps = _lay_schedule(job, pass_plan, Leg(pass_plan.legs[0].sampler, 0, pass_plan.steps), beginning)
        beginning = replace(beginning, toning=prepare_toning(job, pass_plan, all_steps))
    latents: torch.Tensor | None = None
    came: float | None = None
    for whole in pass_plan.legs:
        for leg in _divide(job, pass_plan, whole, beginning, came):
            here, words, start = _hand_on(job, conditioning, beginning, leg)
            tail = _lay_schedule(here, pass_plan, leg, start, came)
            count = beginning.noise.shape[0]
            if count > 1 and tail.one_by_one:
                alone = [_walk_alone(job, pass_plan, conditioning, beginning, place) for place in range(count)]
                return torch.cat(alone)
            watcher = StepWatcher(here, pass_plan, leg, tail)
            latents, came = _walk(here, pass_plan, words, start, watcher, latents), tail.ends_at
    assert latents is not None  # a pass has one leg at least
    return latents


def _divide(job: Job, pass_plan: PassPlan, leg: Leg, beginning: Beginning, came: float | None) -> tuple[Leg, ...]:
    """The leg in two where the pass's refiner takes over within it."""
    if pass_plan.refiner is None:
        return (leg,)
    tail = _lay_schedule(job, pass_plan, leg, beginning, came)
    return divide_leg(leg, pass_plan.refiner, pass_plan.steps, tail.times)


def _hand_on(
    job: Job, conditioning: Conditioning, beginning: Beginning, leg: Leg
) -> tuple[Job, Conditioning, Beginning]:
    """Who draws that leg, by which words, and what stands beside it."""
    refined = job.refined if leg.refined else None
    if refined is None or job.refiner is None or conditioning.refined is None:
        return job, conditioning, beginning
    if beginning.steering is not None and not job.refiner.steered:
        job.strand.note(f"The ControlNets are for {job.plan.model.name}; the refiner draws without them.")
        beginning = replace(beginning, steering=None)
    return refined, conditioning.refined, beginning


def _walk_alone(
    job: Job, pass_plan: PassPlan, conditioning: Conditioning, beginning: Beginning, place: int
) -> torch.Tensor:
    """One picture of a batch along a way of its own."""
    (leg,), only, count = pass_plan.legs, beginning.only(place), beginning.noise.shape[0]
    watcher = StepWatcher(job, pass_plan, leg, _lay_schedule(job, pass_plan, leg, only), (place, count))
    return _walk(job, pass_plan, conditioning.only(place, count), only, watcher)


def _walk(
    job: Job,
    pass_plan: PassPlan,
    conditioning: Conditioning,
    beginning: Beginning,
    watcher: StepWatcher,
    halfway: torch.Tensor | None = None,
) -> torch.Tensor:
    """One call of the pipeline along the watcher's schedule, going on from latents that are `halfway` if there are."""
    adapter, tail, leg = job.model.adapter, watcher.tail, watcher.leg
    noise = adapter.pack(beginning.noise)
    latents = None if beginning.latents is None else adapter.pack(beginning.latents)
    watcher.blend = Blend.of(job, beginning, latents, noise)
    watcher.conducted_by(conditioning.conductor)
    pipeline = job.pipeline
    pipeline.scheduler = tail
    first = tail.start(latents, noise) if halfway is None else adapter.pack(halfway)
    scripts = watcher.scripts = PassScripts.of(job, pass_plan, tail, leg.begin, watcher.portion)
    arguments = {
        **conditioning.arguments,
        **adapter.guide(pass_plan.cfg_scale),
        **_rescale(job, pipeline),
        **adapter.dress(pipeline),
        **({} if job.plan.film is None else adapter.time(job.plan.film)),
        **(beginning.masked or {}),
        "width": pass_plan.width,
        "height": pass_plan.height,
        "num_inference_steps": leg.end - leg.begin,
        "generator": list(beginning.generators),
        "latents": first if scripts is None else scripts.begin(first),
        "output_type": "latent",
        "return_dict": False,
    }
    if "callback_on_step_end" in names_of_arguments(type(pipeline).__call__):
        arguments["callback_on_step_end"] = watcher
    else:
        tail.ended = lambda index, time, latents: watcher(pipeline, index, time, {"latents": latents})["latents"]
    denoiser = getattr(pipeline, job.model.family.denoiser)
    found = branches_of(job, plus=tail.plus)
    branches = Branches(found, beginning.noise.shape[0]) if found else None
    editing = _showing(job, beginning)
    pair = pass_plan.cfg_scale if adapter.paired and adapter.is_guided(pass_plan.cfg_scale) else None
    with (
        denoiser.paired_at(pair),
        denoiser.heard_by(None if scripts is None else scripts.ear),
        denoiser.guided_by(*_guidance(job, pass_plan, beginning, watcher, branches)),
        denoiser.widened_by(_widened(branches or editing, scripts, worded=conditioning.conductor is None)),
        denoiser.tiled_by(tiles_of(job, pass_plan)),
        denoiser.worded_by(conditioning.conductor),
        denoiser.carrying(_patches(job, pass_plan, watcher, found)),
        denoiser.accompanied_by(None if beginning.referring is None else beginning.referring.timed(watcher.clock)),
        denoiser.steered_by(None if beginning.steering is None else beginning.steering.timed(watcher.clock)),
    ):
        if beginning.toning is not None:
            tail.mixer = beginning.toning.around(tail, leg.begin, eta_of(leg.sampler), tail.mixer)
        if scripts is not None:
            tail.mixer, tail.stepper = scripts.around(tail.mixer), scripts.stepper
        result = pipeline(**arguments)[0]
    return adapter.unpack(result.float(), *beginning.noise.shape[-2:])


def _patches(job: Job, pass_plan: PassPlan, watcher: StepWatcher, found: tuple[Any, ...]) -> tuple[Any, ...]:
    """What every call carries: networks, and what is changed inside the denoiser; `found` are branches asked for."""
    inside = change_rows(job, found, watcher.clock)
    shrunk = shrink_deep(job, pass_plan, watcher.clock)
    return (watcher.networks, inside, *thin_out(job), *shrunk, *cache_steps(job, pass_plan, watcher.clock))


def _showing(job: Job, beginning: Beginning) -> Editing | Showing | None:
    """Who shows the denoiser what it sees beside what it draws; None where that is nothing."""
    if beginning.seen is None:
        return None
    if job.model.family.seen_channels:
        return Editing(beginning.seen, edit_scale(job.plan))
    return Showing(job.model.adapter, beginning.seen, beginning.glimpse)


Guide = Callable[[torch.Tensor], torch.Tensor]


def _guidance(
    job: Job, pass_plan: PassPlan, beginning: Beginning, watcher: StepWatcher, branches: Branches | None
) -> tuple[Guide | None, Callable[[], bool] | None]:
    """Who sees the denoiser's answers, and who says which calls go without the negative prompt; sets up the tail."""
    tail = watcher.tail
    sparing, request, adapter = _sparing(job, pass_plan, tail), job.plan.request, job.model.adapter
    asked = request.guidance
    wishes = fitting(asked, flow=job.model.family.prediction == "flow", plus=tail.plus)
    guided = adapter.is_guided(pass_plan.cfg_scale)
    if not guided:
        wishes = PLAIN_GUIDANCE
    if guided and tail.plus and asked.mixing:
        job.strand.note("CFG++ samplers guide in their own way; dynamic thresholding, APG and CFG-Zero* were left out.")
    if branches is None and not (guided and (wishes.scheduled or wishes.mixing)):
        return make_plus(pass_plan.cfg_scale, tail.hear) if tail.plus else None, sparing
    height, width = beginning.noise.shape[-2:]
    around = GuidedPass(
        pass_plan.cfg_scale,
        pass_plan.steps,
        beginning.noise.shape[0],
        request.sampling.cfg_rescale if "cfg_rescale" in job.model.family.capabilities else 0.0,
        beginning.latents is None,
        watcher.leg.begin,
        guided,
    )
    course = GuidanceCourse(
        wishes,
        around,
        tail,
        sparing=sparing,
        branches=branches,
        unpack=lambda latents: adapter.unpack(latents, height, width),
        pack=adapter.pack,
    )
    tail.mixer = course.mix
    return course.hear, course.spare


def _sparing(job: Job, pass_plan: PassPlan, tail: ScheduleTail) -> Sparing | None:
    """Which calls go without the negative prompt; None where none does, or none has one."""
    sampling = job.plan.request.sampling
    if sampling.s_min_uncond <= 0 or not job.model.adapter.is_guided(pass_plan.cfg_scale):
        return None
    return Sparing(sampling.s_min_uncond, sampling.s_min_uncond_all, lambda: tail.level)


def _lay_schedule(
    job: Job, pass_plan: PassPlan, leg: Leg, beginning: Beginning, came: float | None = None
) -> ScheduleTail:
    """The schedule of a leg; `came` is the noise level at which the one before it ended."""
    family, model = job.model.family, job.model
    config = model.loaded.components["scheduler"].config
    scheduler = build_scheduler(leg.sampler, config, flow=family.prediction == "flow", sdxl=family.adapter == "sdxl")
    scheduler.bind_generators(list(beginning.generators))
    device, _ = model.place("denoiser")
    cells = cells_seen(job, pass_plan)
    return ScheduleTail(
        scheduler,
        leg.sampler.steps,
        pass_plan.steps - leg.begin,
        device=device,
        arguments=model.adapter.schedule_arguments(config, cells, leg.sampler.steps),
        came=came,
        left=pass_plan.steps - leg.end,
    )


def _widened(wider: Wider | None, scripts: PassScripts | None, *, worded: bool) -> Wider | None:
    return wider if scripts is None else scripts.before(wider, worded=worded)


def _rescale(job: Job, pipeline: Any) -> dict[str, float]:
    """CFG rescale where the pipeline does it itself; elsewhere the denoiser's stand-in does."""
    amount = job.plan.request.sampling.cfg_rescale
    return {"guidance_rescale": amount} if amount > 0 and rescales_itself(type(pipeline)) else {}


class Blend:
    """Keeps the unmasked part on its own path: after each step it is the original with the noise that is left.

    Lugmayr et al., RePaint (2022), without the resampling. Where it is `gradual` a place is kept as long as the share
    of the pass that is left is larger than its own, and then drawn: Levin and Fried, Differential Diffusion
    (arXiv:2306.00950). Everything is in the denoiser's layout.
    """

    def __init__(
        self, original: torch.Tensor, noise: torch.Tensor, repaint: torch.Tensor, *, gradual: bool = False
    ) -> None:
        self._original, self._noise, self._repaint, self._gradual = original, noise, repaint, gradual

    @classmethod
    def of(cls, job: Job, beginning: Beginning, latents: torch.Tensor | None, noise: torch.Tensor) -> Blend | None:
        """The blend of a beginning; None when everything is drawn anew."""
        if beginning.repaint is None or latents is None:
            return None
        repaint = job.model.adapter.pack(beginning.repaint.expand_as(beginning.noise))
        return cls(latents, noise, repaint, gradual=beginning.gradual)

    def after(self, tail: ScheduleTail, index: int, latents: torch.Tensor, left: float) -> torch.Tensor:
        """`latents` after step `index`, with the share `left` of the pass to come, with the kept part put back."""
        kept = tail.after(index, self._original, self._noise)
        if self._gradual:
            drawn = (self._repaint > 0) & (self._repaint >= left)
            return torch.where(drawn, latents, kept)
        return kept + (latents - kept) * self._repaint


class StepWatcher:
    """Called by the pipeline after each model call."""

    def __init__(
        self, job: Job, pass_plan: PassPlan, leg: Leg, tail: ScheduleTail, portion: tuple[int, int] = (0, 1)
    ) -> None:
        """`portion` is which of how many pictures of the batch it watches, where they are drawn one by one."""
        self._job, self._pass, self.leg, self.tail, self.portion = job, pass_plan, leg, tail, portion
        self.blend: Blend | None = None
        self.scripts: PassScripts | None = None
        self.conductor: Conductor | None = None
        self.clock = Clock(pass_plan.steps, float(leg.begin))
        place, count = portion
        pictures = job.plan.batches[job.strand.batch]
        self.networks = job.networks.beside_denoiser(
            pictures[place : place + 1] if count > 1 else pictures, self.clock, hires=pass_plan is job.plan.hires
        )
        """The patch that every call of the denoiser carries."""
        # What the first of two stages draws has no colours yet.
        coloured = job.strand.context.previews and not job.model.family.decoder
        wanted = coloured and bool(job.settings["live_previews_enable"])
        self._every = int(job.settings["show_progress_every_n_steps"]) if wanted else 0
        self._seen = leg.begin // self._every if self._every else 0

    def conducted_by(self, conductor: Conductor | None) -> None:
        """Whose words the calls have; told of each count from here on."""
        self.conductor = conductor
        if conductor is not None:
            conductor.count = self.leg.begin

    def __call__(self, pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """Check for cancellation, put the kept part back, tell of the step, show a preview."""
        job = self._job
        job.strand.check()
        if self.conductor is not None:
            count = self.tail.count_at(index + 1, each=self.leg.sampler.second_order)
            self.conductor.count = self.leg.begin + count
        latents = tensors["latents"]
        if self.scripts is not None:
            latents = self.scripts.end_step(latents, index)
        if self.blend is not None:
            latents = self.blend.after(self.tail, index, latents, self._left(index))
        if self.scripts is not None:
            self.scripts.latents = latents
        done = self.tail.steps_done(index)
        if done is not None:
            self.clock.done = done = self.leg.begin + done
            place, count = self.portion
            job.strand.step_done((place * self._pass.steps + done) / count)
            if self._every and int(done) // self._every > self._seen and index + 1 < len(self.tail.timesteps):
                self._seen = int(done) // self._every
                if job.strand.shown and job.strand.context.watched():
                    self._preview(latents)
        return {"latents": latents}

    def _left(self, index: int) -> float:
        """The share of the pass that is still to come after the model call `index`."""
        last = index + 1 >= len(self.tail.timesteps)
        begun = self.leg.end if last else self.leg.begin + self.tail.step_at(index + 1) - 1
        return 1 - begun / self._pass.steps

    def _preview(self, latents: torch.Tensor) -> None:
        job = self._job
        clean = self.tail.denoised if self.tail.denoised is not None else latents
        factor = job.model.family.latent_factor
        cells = job.model.adapter.unpack(clean.float(), self._pass.height // factor, self._pass.width // factor)
        if cells.ndim == FILM:
            cells = cells[:, :, cells.shape[2] // 2]
        job.strand.preview(
            job.model.preview(job.port, cells.cpu(), int(job.settings["live_preview_size"])), "image/jpeg"
        )
