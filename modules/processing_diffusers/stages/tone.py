"""What corrections of a pass go by: its noise levels, and what its VAE makes of plain colours."""

from __future__ import annotations

import torch
from PIL import Image

from modules.contracts.plan import PassPlan, SamplerPlan
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.noise import make_generator
from modules.processing_diffusers.tail import ScheduleTail
from modules.processing_diffusers.tensors import to_tensor
from modules.processing_diffusers.tone import Axes, ToneCourse, Toning, Window
from modules.sd_samplers.build import shipped_table

SIDE = 16
"""Latent cells of a side of a plain picture; its middle half is looked at, where no edge is near."""
LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are (ITU-R BT.601)."""


def wants_toning(job: Job, pass_plan: PassPlan) -> bool:
    """Whether the request corrects anything in that pass."""
    request = job.plan.request
    if job.plan.film is not None or job.model.family.decoder:
        return False
    if pass_plan is job.plan.hires and not request.tone.hires:
        return False
    return request.tone.acts or (request.reach.acts and request.tone.start < request.tone.end)


def prepare_toning(job: Job, pass_plan: PassPlan, whole: ScheduleTail) -> Toning | None:
    """The corrections of the pass; `whole` is its schedule from first step to last, as its first sampler has it.

    None where they change nothing, and, with a note, for samplers that find their steps as they go.
    """
    if whole.one_by_one:
        name = pass_plan.sampler.sampler
        job.strand.note(f"{name} finds its steps as it goes; corrections of brightness and colour were left out.")
        return None
    request, adapter, factor = job.plan.request, job.model.adapter, job.model.family.latent_factor
    shares = (request.tone.start, request.tone.end)
    window, late = Window.of(whole.levels, *shares), Window.of_detail(whole.levels, *shares)
    if window is None:
        return None
    axes = _measure(job) if request.tone.acts else None
    height, width = pass_plan.height // factor, pass_plan.width // factor
    course = ToneCourse(request.tone, request.reach, axes, window, late)
    return Toning(course, lambda latents: adapter.unpack(latents, height, width), adapter.pack)


def eta_of(sampler: SamplerPlan) -> float:
    """How much fresh noise that sampler adds; 0 for those that add none."""
    row = shipped_table().sampler(sampler.sampler)
    if "eta" not in row.takes:
        return 0.0
    return row.default_eta if sampler.eta is None else sampler.eta


def _measure(job: Job) -> Axes:
    """What the job's VAE makes of black, white, the tint, and the grey that is as bright."""
    tint = job.plan.request.tone.colour
    grey = sum(share * value for share, value in zip(LUMA, tint, strict=True))
    side = SIDE * job.model.family.latent_factor
    colours = [(0.0,) * 3, (1.0,) * 3, tint, (grey,) * 3]
    images = [Image.new("RGB", (side, side), _spell(colour)) for colour in colours]
    generators = [make_generator(0, "tone") for _ in images]
    latents = job.vae.encode(job.vae_port, to_tensor(images), generators, note=job.strand.note)
    middle = slice(SIDE // 4, SIDE - SIDE // 4)
    black, white, tinted, plain = latents[..., middle, middle].float().mean(dim=(-2, -1), keepdim=True)
    return Axes(*(torch.unsqueeze(each, 0) for each in (black, white, tinted - plain)))


def _spell(colour: tuple[float, ...]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colour)
    return red, green, blue
