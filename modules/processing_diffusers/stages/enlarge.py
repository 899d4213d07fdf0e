"""The beginning of the hires pass: the first pass brought to a larger size, as latents or as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image

from modules.contracts.plan import PassPlan, PicturePlan
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.noise import make_generator
from modules.processing_diffusers.pictures import decode_picture, resize_picture
from modules.processing_diffusers.sizes import HiresSize, plan_hires
from modules.processing_diffusers.stages.begin import begin_from_nothing
from modules.processing_diffusers.stages.decode import decode_latents
from modules.processing_diffusers.stages.larger import enlarge_images
from modules.processing_diffusers.stages.prepare import Beginning
from modules.processing_diffusers.tensors import to_tensor
from modules.upscalers.latent import enlarge_latents


def enlarge(job: Job, pictures: Sequence[PicturePlan], latents: torch.Tensor | None, hires: PassPlan) -> Beginning:
    """Latents at the hires size with fresh noise of the same seeds. Raises `BrokenModel` for a file that is none.

    Without `latents` of a first pass, the picture that came with the request stands for it, brought to its size.
    """
    first, wish = job.plan.first, job.plan.request.hires
    size = plan_hires((first.width, first.height), wish, job.model.family, [])
    upscaler = hires.upscaler
    if upscaler is None:
        raise ValueError("A second pass without an upscaler.")
    given = [] if latents is not None else [_given(job)] * len(pictures)
    if upscaler.latent:
        if latents is None:
            latents = _encode(job, pictures, given)
        factor = job.model.family.latent_factor
        cells = (size.enlarged[1] // factor, size.enlarged[0] // factor)
        enlarged = _cut(enlarge_latents(latents, cells, upscaler.name), size, factor)
    else:
        images = enlarge_images(
            job, given if latents is None else decode_latents(job, latents), size.enlarged, upscaler
        )
        left, top = (size.enlarged[0] - size.final[0]) // 2, (size.enlarged[1] - size.final[1]) // 2
        cut = [image.crop((left, top, left + size.final[0], top + size.final[1])) for image in images]
        enlarged = _encode(job, pictures, cut)
    beginning = begin_from_nothing(job, pictures, hires)
    return replace(beginning, latents=enlarged.to(beginning.noise.device))


def _given(job: Job) -> Image.Image:
    """The picture in place of the first pass, of that pass's size. Raises `InvalidRequest` when it is none."""
    first, given = job.plan.first, decode_picture(job.plan.request.first_pass, "The picture of the first pass")
    return resize_picture(given, (first.width, first.height), "stretch")


def _encode(job: Job, pictures: Sequence[PicturePlan], images: Sequence[Image.Image]) -> torch.Tensor:
    """Their latents, each with a draw from the posterior of its own."""
    generators = [make_generator(picture.seed, "encode") for picture in pictures]
    return job.vae.encode(job.vae_port, to_tensor(list(images)), generators, note=job.strand.note)


def _cut(latents: torch.Tensor, size: HiresSize, factor: int) -> torch.Tensor:
    """The middle of the latents at the final size."""
    width, height = size.final[0] // factor, size.final[1] // factor
    top, left = (latents.shape[-2] - height) // 2, (latents.shape[-1] - width) // 2
    return latents[..., top : top + height, left : left + width]
