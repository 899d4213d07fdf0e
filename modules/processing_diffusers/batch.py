"""Batches from words to pictures: which stages one goes through, and how many are drawn at a time."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from modules.contracts.errors import JobCancelled
from modules.contracts.plan import PassPlan, PicturePlan
from modules.processing_diffusers.colours import match_colours
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.scripting import change_decoded, change_picture, tell_batch
from modules.processing_diffusers.stages.begin import (
    Material,
    begin_from_nothing,
    begin_from_picture,
    gather_material,
    look,
)
from modules.processing_diffusers.stages.decode import decode_films, decode_latents
from modules.processing_diffusers.stages.denoise import denoise
from modules.processing_diffusers.stages.detail import detail_pictures
from modules.processing_diffusers.stages.encode import encode_pass
from modules.processing_diffusers.stages.enlarge import enlarge
from modules.processing_diffusers.stages.faces import restore_faces
from modules.processing_diffusers.stages.finish import finish_picture
from modules.processing_diffusers.stages.refer import prepare_references
from modules.processing_diffusers.stages.steer import prepare_steering
from modules.processing_diffusers.stages.unfold import unfold
from modules.processing_diffusers.workbench import set_up_pipeline


def draw_batch(job: Job, pictures: Sequence[PicturePlan], material: Material | None, version: str) -> None:
    """Draw the pictures of one batch and deliver them in order. Raises `JobCancelled` or `BatchSkipped` in between."""
    run, plan = job.strand, job.plan
    tell_batch(job, "before_batch", pictures)
    latents: torch.Tensor | None = None
    if not plan.request.first_pass:
        latents = _draw_first(job, pictures, material)
    if plan.hires is not None:
        with run.stage("hires"):
            latents = _draw_hires(job, pictures, latents, plan.hires, material)
    assert latents is not None  # validated: what begins with a picture of its own has a second pass
    if plan.film is not None:
        _finish_films(job, pictures, latents, version)
        return
    with run.stage("decode"):
        images = change_decoded(job, pictures, decode_latents(job, latents))
    images, restorer = restore_faces(job, images)
    if material is not None and plan.request.image is not None and plan.request.image.color_correction:
        known = material.images
        images = [match_colours(image, known[place % len(known)]) for place, image in enumerate(images)]
    repaint = None if material is None else material.repaint
    if repaint is not None:
        images = [repaint.put_back(image, place) for place, image in enumerate(images)]
    if plan.details:
        images = detail_pictures(job, pictures, images, None if repaint is None else repaint.mask)
    job.port.rest()
    with run.stage("save"):
        for picture, image in zip(pictures, images, strict=True):
            changed = change_picture(job, picture, image)
            run.deliver(finish_picture(job, picture, changed, version, restorer=restorer))
    tell_batch(job, "after_batch", pictures)


def _finish_films(job: Job, pictures: Sequence[PicturePlan], latents: torch.Tensor, version: str) -> None:
    """Decode and deliver the films of one batch."""
    with job.strand.stage("decode"):
        films = decode_films(job, latents)
    job.port.rest()
    with job.strand.stage("save"):
        for picture, film in zip(pictures, films, strict=True):
            drawn = finish_picture(job, picture, film.frames[0], version)
            job.strand.deliver(replace(drawn, film=film) if len(film.frames) > 1 else drawn)


def _draw_first(job: Job, pictures: Sequence[PicturePlan], material: Material | None) -> torch.Tensor:
    """The latents of the first pass."""
    run, plan = job.strand, job.plan
    with run.stage("encode"):
        conditioning = encode_pass(job, pictures, plan.first, () if material is None else material.images)
        beginning = None if material is None else begin_from_picture(job, pictures, material)
        steering = prepare_steering(job, pictures, material, plan.first)
        referring = prepare_references(job, pictures, material, plan.first)
    with run.stage("denoise"):
        if beginning is None:
            beginning = begin_from_nothing(job, pictures, plan.first)
        start = replace(beginning, steering=steering, referring=referring)
        latents = denoise(job, plan.first, conditioning, start)
        return unfold(job, plan.first, conditioning, start, latents)


def _draw_hires(
    job: Job,
    pictures: Sequence[PicturePlan],
    latents: torch.Tensor | None,
    hires: PassPlan,
    material: Material | None,
) -> torch.Tensor:
    """The second pass, with words of its own where there are any."""
    conditioning = encode_pass(job, pictures, hires, () if material is None else material.images, second=True)
    beginning = enlarge(job, pictures, latents, hires)
    steering = prepare_steering(job, pictures, material, hires)
    referring = prepare_references(job, pictures, material, hires)
    seen = beginning.seen if beginning.seen is not None else look(job, pictures, material, hires)
    return denoise(job, hires, conditioning, replace(beginning, steering=steering, referring=referring, seen=seen))


def draw_batches(job: Job, version: str, most: int, thread: Callable[[], AbstractContextManager[None]]) -> None:
    """All batches that are not finished yet, up to `most` of them at a time, each in a lane of its own.

    Batches of one job meet in the multiplexer like jobs of different people, so a batch count of eight costs what a
    batch size of eight does. Fewer run at a time where one merged call does not hold them all. `thread` is entered by
    each thread that draws. When a batch fails the others are drawn to their end first; then its error is raised.
    """
    material = gather_material(job) if job.plan.request.image is not None else None
    todo = [number for number in range(len(job.plan.batches)) if number not in job.run.finished]
    most = min(most, len(todo), max(job.port.limit // job.rows_per_batch, 1))

    def draw(number: int) -> None:
        with thread(), _branch(job) as branch, job.run.batch_of(number) as strand:
            draw_batch(replace(branch, strand=strand), job.plan.batches[number], material, version)

    if most <= 1:
        for number in todo:
            with job.run.batch_of(number) as strand:
                draw_batch(replace(job, strand=strand), job.plan.batches[number], material, version)
        return
    job.port.rest()
    with ThreadPoolExecutor(most, thread_name_prefix="batch") as crowd:
        # With a copy of this thread's context, so that what they log is known to be the job's.
        waiting = [crowd.submit(contextvars.copy_context().run, draw, number) for number in todo]
    errors = [error for error in (one.exception() for one in waiting) if error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, JobCancelled)):
        raise error


@contextlib.contextmanager
def _branch(job: Job) -> Iterator[Job]:
    """The same job in a lane of its own, with a pipeline of its own, for another batch."""
    with job.port.multiplexer.lane() as lane:
        port = replace(job.port, lane=lane)
        refiner = None if job.refiner is None else job.refiner.in_lane(port, job.plan)
        yield replace(job, port=port, pipeline=set_up_pipeline(job.model, port, job.plan), refiner=refiner)
