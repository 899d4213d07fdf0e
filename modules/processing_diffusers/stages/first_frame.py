"""Films that begin with a given picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image

from modules.contracts.plan import PicturePlan
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.pictures import resize_picture
from modules.processing_diffusers.stages.prepare import Beginning, draw_beginning
from modules.processing_diffusers.tensors import to_tensor


def begin_with_frame(job: Job, pictures: Sequence[PicturePlan], images: Sequence[Image.Image]) -> Beginning:
    """Noise for the whole film, and the first latent frame, which is that of the picture: one for all films, or one
    each. It is put back after each step, and the denoiser sees it as it is, without noise.
    """
    beginning = draw_beginning(job, pictures, job.plan.first)
    frame = _encode(job, images, len(pictures)).to(beginning.noise.device)
    latents = torch.zeros_like(beginning.noise)
    latents[:, :, :1] = frame
    drawn = torch.ones_like(beginning.noise[:1, :1])
    drawn[:, :, :1] = 0
    return replace(beginning, latents=latents, repaint=drawn, seen=frame)


def _encode(job: Job, images: Sequence[Image.Image], count: int) -> torch.Tensor:
    """The pictures' latents (films, C, 1, height, width) without chance, at the size of the pass."""
    work = (job.plan.first.width, job.plan.first.height)
    sized = [resize_picture(image, work, "stretch") for image in images]
    seen = job.vae.look(job.vae_port, to_tensor(sized), note=job.strand.note, bare=False)
    return seen[[place % len(sized) for place in range(count)]].unsqueeze(2)
