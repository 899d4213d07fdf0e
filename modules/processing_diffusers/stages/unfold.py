"""From what a first stage drew to the autoencoder's latents, by a second denoiser."""

from __future__ import annotations

import torch

from modules.contracts.plan import PassPlan, SamplerPlan
from modules.processing_diffusers.conductor import Role
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.multiplexer.stand_in import StandIn
from modules.processing_diffusers.stages.encode import Conditioning
from modules.processing_diffusers.stages.prepare import Beginning
from modules.processing_diffusers.tail import ScheduleTail
from modules.sd_samplers.build import build_scheduler
from modules.support.latent_shape import factor_of

SAMPLER, SCHEDULE = "DDPM", "SGM Uniform"
"""As the second stage's authors draw; the request's sampler is the first one's."""
LATE = 1 << 30
"""A count behind every step."""


@torch.no_grad()
def unfold(
    job: Job, pass_plan: PassPlan, conditioning: Conditioning, beginning: Beginning, latents: torch.Tensor
) -> torch.Tensor:
    """The autoencoder's latents, (pictures, C, height, width) in fp32; `latents` themselves for a family of one stage.

    Each picture draws noise from its own generator, where the first stage left it. Cancellation and skipping take
    effect within one step.
    """
    model, request = job.model, job.plan.request
    if model.decoder is None or conditioning.conductor is None:
        return latents
    job.strand.begin_steps()
    vae, generators = job.vae.module, list(beginning.generators)
    factor = factor_of(vae.config) or 1
    shape = (int(vae.config.latent_channels), pass_plan.height // factor, pass_plan.width // factor)
    device, dtype = model.place("denoiser")
    noise = torch.stack([torch.randn(shape, generator=one) for one in generators]).to(device)
    plan = SamplerPlan(SAMPLER, SCHEDULE, request.refiner.decoder_steps, None)
    scheduler = build_scheduler(plan, model.loaded.components["scheduler"].config, flow=False)
    scheduler.bind_generators(generators)
    tail = ScheduleTail(scheduler, plan.steps, plan.steps, device=device, arguments={})
    decoder = StandIn(model.decoder, job.port, device=device, dtype=dtype)
    pooled = torch.stack([_told(role) for role in conditioning.conductor.roles])[:, None]
    current = tail.start(None, noise)
    for index, time in enumerate(tail.timesteps):
        sample = tail.scale_model_input(current, time)
        answer = decoder(
            sample=sample, timestep=time.expand(len(sample)), clip_text_pooled=pooled, effnet=latents.to(device)
        )[0]
        current = tail.step(answer, time, current, return_dict=False)[0]
        job.strand.check()
        job.strand.step_done(index + 1)
        _show(job, tail, index)
    return current


def _told(role: Role) -> torch.Tensor:
    """The vector of a picture's words as they are in the end; of several prompts their mean by weight."""
    voices = [(voice.weight, voice.at(LATE)["pooled"]) for voice in role.voices]
    whole = sum(weight for weight, _ in voices) or 1.0
    return torch.stack([vector * (weight / whole) for weight, vector in voices]).sum(0)


def _show(job: Job, tail: ScheduleTail, index: int) -> None:
    """A preview after the step, where somebody looks and it is time for one."""
    strand, settings = job.strand, job.settings
    every = int(settings["show_progress_every_n_steps"]) if settings["live_previews_enable"] else 0
    if not every or (index + 1) % every or index + 1 == len(tail.timesteps) or tail.denoised is None:
        return
    if strand.context.previews and strand.shown and strand.context.watched():
        side = int(settings["live_preview_size"])
        strand.preview(job.model.preview(job.port, tail.denoised.float().cpu(), side), "image/jpeg")
