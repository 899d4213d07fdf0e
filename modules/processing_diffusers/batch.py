"""One batch from words to pictures: which stages it goes through, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from modules.contracts.plan import PassPlan, PicturePlan
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.stages.begin import Material, begin_from_nothing, begin_from_picture, gather_material
from modules.processing_diffusers.stages.decode import decode_latents
from modules.processing_diffusers.stages.denoise import denoise
from modules.processing_diffusers.stages.encode import Words, encode_words
from modules.processing_diffusers.stages.enlarge import enlarge
from modules.processing_diffusers.stages.finish import finish_picture


def draw_batch(job: Job, pictures: Sequence[PicturePlan], material: Material | None, version: str) -> None:
    """Draw the pictures of one batch and deliver them in order. Raises `JobCancelled` or `BatchSkipped` in between."""
    run, plan = job.run, job.plan
    with run.stage("encode"):
        words = Words([item.prompt for item in pictures], [item.negative for item in pictures])
        conditioning = encode_words(job, words, plan.first.cfg_scale)
        if material is None:
            beginning = begin_from_nothing(job, pictures, plan.first)
        else:
            beginning = begin_from_picture(job, pictures, material)
    with run.stage("denoise"):
        latents = denoise(job, plan.first, conditioning, beginning)
    if plan.hires is not None:
        with run.stage("hires"):
            latents = _draw_hires(job, pictures, latents, plan.hires)
    with run.stage("decode"):
        images = decode_latents(job, latents)
    job.port.rest()
    with run.stage("save"):
        repaint = None if material is None else material.repaint
        for picture, image in zip(pictures, images, strict=True):
            run.deliver(finish_picture(job, picture, image, repaint, version))


def _draw_hires(job: Job, pictures: Sequence[PicturePlan], latents: torch.Tensor, hires: PassPlan) -> torch.Tensor:
    """The second pass, with words of its own where there are any."""
    wish = job.plan.request.hires
    words = Words(
        [wish.prompt or item.prompt for item in pictures], [wish.negative or item.negative for item in pictures]
    )
    conditioning = encode_words(job, words, hires.cfg_scale)
    return denoise(job, hires, conditioning, enlarge(job, pictures, latents, hires))


def draw_batches(job: Job, version: str) -> None:
    """All batches that are not finished yet."""
    material = gather_material(job) if job.plan.request.image is not None else None
    for number, pictures in enumerate(job.plan.batches):
        if number < job.run.finished_batches:
            continue
        with job.run.batch_of(number):
            draw_batch(job, pictures, material, version)
