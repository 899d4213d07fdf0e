"""Pictures made larger within a job, before they are drawn: for the hires pass and for SD upscale."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from modules.contracts.catalog import UpscalerEntry
from modules.processing_diffusers.job import Job
from modules.upscalers.image import enlarge_image


def enlarge_images(
    job: Job, images: Sequence[Image.Image], size: tuple[int, int], upscaler: UpscalerEntry
) -> list[Image.Image]:
    """The pictures at that size, by interpolation or by a network. Raises `BrokenModel` for a file that is none."""
    if upscaler.path is None:
        return [enlarge_image(image, size, upscaler.name) for image in images]
    wrap = job.plan.request.canvas.tiling
    with job.tools.upscalers.lease(upscaler) as network:
        return [network.enlarge(job.port, image, size, job.strand.check, wrap=wrap) for image in images]


def upscale_given(job: Job, images: Sequence[Image.Image]) -> list[Image.Image]:
    """Given pictures at the size of the first pass, as its upscaler makes them. Raises `BrokenModel`."""
    first = job.plan.first
    assert first.upscaler is not None  # asked for with SD upscale
    return enlarge_images(job, images, (first.width, first.height), first.upscaler)
